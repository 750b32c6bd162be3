load helper

# Bats puts its own insides first in PATH; the suites run here are to find the real one.
clean_path=${PATH//"$BATS_LIBEXEC:"/}

# suite NAME: a bats file of that name from stdin (%test is @test, which bats would take for one of
# this file), run by run-tests as a suite of its own
suite() {
	mkdir -p "$BATS_TEST_TMPDIR/suite"
	sed 's/^%/@/' >"$BATS_TEST_TMPDIR/suite/$1.bats"
	run env -i PATH="$clean_path" HOME="$HOME" BATS_TEST_TIMEOUT=3 \
		sh "$top/scripts/run-tests" "$BATS_TEST_TMPDIR/suite/$1.bats"
	echo "$output"
}

# A directory of links to the commands named: a system that has nothing else.
system_of() {
	mkdir -p "$BATS_TEST_TMPDIR/bin"
	for name in "$@"; do
		ln -s "$(command -v "$name")" "$BATS_TEST_TMPDIR/bin/$name"
	done
}

packages() {
	run env -i PATH="$BATS_TEST_TMPDIR/bin" LOG="$BATS_TEST_TMPDIR/log" "$(command -v sh)" "$top/scripts/packages" "$@"
	echo "$output"
}

@test "run-tests closes with the counts, shows why a test failed, and fails if one did" {
	suite counts <<-'EOF'
		%test "works" { true; }
		%test "fails" { echo the reason; false; }
		%test "skips" { skip; }
	EOF
	[ "$status" -eq 1 ]
	[[ $output == *"# the reason"* ]]
	[ "${lines[-1]}" = "1 passed, 1 failed, 1 skipped" ]
	suite good <<<'%test "works" { true; }'
	[ "$status" -eq 0 ]
	[ "${lines[-1]}" = "1 passed, 0 failed" ]
}

@test "a bats that is killed, a file that does not parse, a failing setup_file and no tests at all are failures" {
	suite killed <<-'EOF'
		%test "kills" { kill -9 "$(ps -o ppid= $PPID)"; }
	EOF
	[ "$status" -eq 1 ]
	[[ ${lines[-1]} == *" passed, 1 failed" ]]
	suite broken <<<'%test "does not parse" { if ; }'
	[ "$status" -eq 1 ]
	[ "${lines[-1]}" = "0 passed, 1 failed" ]
	suite setup <<-'EOF'
		setup_file() { false; }
		%test "one" { true; }
		%test "two" { true; }
	EOF
	[ "$status" -eq 1 ]
	[ "${lines[-1]}" = "0 passed, 2 failed" ]
	suite none </dev/null
	[ "$status" -eq 1 ]
	[ "${lines[-1]}" = "0 passed, 1 failed" ]
	run sh "$top/scripts/run-tests" "$BATS_TEST_TMPDIR/not-there.bats"
	[ "$status" -eq 1 ]
}

@test "a test that hangs is ended and counts as a failure" {
	suite hangs <<<'%test "hangs" { sleep 60; }'
	[ "$status" -eq 1 ]
	[ "${lines[-1]}" = "0 passed, 1 failed" ]
}

@test "where nothing is missing, packages is silent and asks no one" {
	system_of gcc make ip unshare tcpdump python3 dtrace
	packages build demo
	[ "$status" -eq 0 ]
	[ -z "$output" ]
}

@test "without apt-get, packages names what is needed and stops" {
	system_of make
	packages build
	[ "$status" -eq 1 ]
	[[ $output == *"needed and not here: gcc"*"no apt-get"* ]]
}

@test "as root, packages says what it installs, updates the lists and installs just that" {
	[ "$(id -u)" -eq 0 ] || skip "not root"
	system_of make id env mktemp rm tail
	printf '#!/bin/sh\necho "$DEBIAN_FRONTEND $*" >>"$LOG"\n' >"$BATS_TEST_TMPDIR/bin/apt-get"
	ln -s /bin/sh "$BATS_TEST_TMPDIR/bin/sh"
	chmod +x "$BATS_TEST_TMPDIR/bin/apt-get"
	packages build
	[ "$status" -eq 0 ]
	[ "$output" = "packages: installing gcc" ]
	run cat "$BATS_TEST_TMPDIR/log"
	[ "${lines[0]}" = " update" ]
	[ "${lines[1]}" = "noninteractive install -y --no-install-recommends gcc" ]
}

@test "where apt fails, packages shows why and fails" {
	[ "$(id -u)" -eq 0 ] || skip "not root"
	system_of make id env mktemp rm tail
	printf '#!/bin/sh\necho no network; exit 100\n' >"$BATS_TEST_TMPDIR/bin/apt-get"
	ln -s /bin/sh "$BATS_TEST_TMPDIR/bin/sh"
	chmod +x "$BATS_TEST_TMPDIR/bin/apt-get"
	packages build
	[ "$status" -eq 1 ]
	[[ $output == *"no network"*"could not install gcc"* ]]
}

@test "soak says in one sentence what SECONDS must be" {
	for seconds in 5 1e3 -20 100000; do
		run env SECONDS="$seconds" sh "$top/tests/soak"
		[ "$status" -eq 2 ]
		[ "$output" = "soak: SECONDS='$seconds' is not a number of seconds from 10 to 9999" ]
	done
}
