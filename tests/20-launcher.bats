load helper
bats_require_minimum_version 1.5.0

setup() {
	launcher=$top/scripts/lingerclose
	there=$BATS_TEST_TMPDIR
}

# A checkout of its own at $1, whose library is $2 (nothing: there is none).
checkout() {
	mkdir -p "$1/scripts" "$1/build"
	cp "$launcher" "$1/scripts/"
	[ -z "${2-}" ] || cp "$2" "$1/build/liblingerclose.so"
}

# refuses SENTENCE ARG...: exit status 125, this one line on stderr, and nothing run
refuses() {
	local sentence=$1
	shift
	run "$@" touch "$there/ran"
	echo "$output"
	[ "$status" -eq 125 ]
	[ "$output" = "lingerclose: $sentence" ]
	[ ! -e "$there/ran" ]
}

@test "the command runs with the library preloaded, which it is not without the launcher" {
	run sh -c 'grep -c liblingerclose.so /proc/self/maps'
	[ "$output" = 0 ]
	run "$launcher" sh -c 'grep -c liblingerclose.so /proc/self/maps'
	echo "$output"
	[ "$output" -gt 0 ]
}

@test "the launcher execs: the command has its process id" {
	run sh -c 'echo $$; exec "$0" sh -c "echo \$\$"' "$launcher"
	echo "$output"
	[ "${lines[0]}" = "${lines[1]}" ]
}

@test "an LD_PRELOAD that is there stays, after ours" {
	run env LD_PRELOAD=libc.so.6 "$launcher" printenv LD_PRELOAD
	echo "$output"
	[ "$output" = "$lib:libc.so.6" ]
}

@test "a launcher inside a launcher names the library once" {
	run "$launcher" "$launcher" printenv LD_PRELOAD
	[ "$output" = "$lib" ]
}

@test "every option sets its variable, as --name value and as --name=value" {
	while read -r option variable value; do
		run "$launcher" --print
		[[ $output != *"$variable"* ]]
		for words in "$option $value" "$option=$value"; do
			# shellcheck disable=SC2086
			run "$launcher" $words -- printenv "$variable"
			echo "$words: $output"
			[ "$output" = "$value" ]
		done
	done <<-'EOF'
		--mode LINGERCLOSE_MODE background
		--steps LINGERCLOSE_STEPS shutdown,drain
		--linger LINGERCLOSE_LINGER 1.5s
		--drain LINGERCLOSE_DRAIN 5s
		--idle LINGERCLOSE_IDLE 250ms
		--drain-bytes LINGERCLOSE_DRAIN_BYTES 64K
		--roles LINGERCLOSE_ROLES accepted
		--when LINGERCLOSE_WHEN pending
		--abort LINGERCLOSE_ABORT linger
		--max LINGERCLOSE_MAX 10
		--ports LINGERCLOSE_PORTS 25,80,8000-8999
		--programs LINGERCLOSE_PROGRAMS !sshd,!cron
		--log LINGERCLOSE_LOG /dev/null
		--stats LINGERCLOSE_STATS off
	EOF
	run "$launcher" --off printenv LINGERCLOSE
	[ "$output" = off ]
	for option in --nodelay --cork; do
		variable=LINGERCLOSE_$(tr -d - <<<"$option" | tr '[:lower:]' '[:upper:]')
		for value in on off; do
			run "$launcher" "$option=$value" printenv "$variable"
			[ "$output" = "$value" ]
		done
		run "$launcher" "$option" printenv "$variable"
		[ "$output" = on ]
	done
}

@test "a bad value is refused in one line that names the option, the value and what is accepted" {
	duration="a number with ms, s or m, up to a day"
	for option in --linger --drain --idle; do
		for value in soon 5h -1 1..2 . '' ' 1' 1e3 86401 1440.5m; do
			refuses "$option \"$value\" is not a duration; accepted: $duration" "$launcher" "$option=$value"
		done
	done
	refuses '--mode "fast" is not a mode; accepted: sync, background or auto' "$launcher" --mode fast
	for value in fin linger, ,linger '' 'linger drain'; do
		refuses "--steps \"$value\" is not a list of steps; accepted: some of linger,shutdown,drain" \
			"$launcher" --steps "$value"
	done
	for value in much 1T K 1KB -1; do
		refuses "--drain-bytes \"$value\" is not a size; accepted: auto, or a number with K, M or G" \
			"$launcher" --drain-bytes "$value"
	done
	refuses '--roles "both" is not a list of roles; accepted: some of accepted,connected' "$launcher" --roles both
	refuses '--when "never" is not a condition; accepted: always or pending' "$launcher" --when never
	refuses '--abort "no" is not a choice; accepted: keep or linger' "$launcher" --abort no
	for value in many 1.5 '' 1000001 99999999999999999999; do
		refuses "--max \"$value\" is not a number of connections; accepted: 0 to 1000000" "$launcher" --max "$value"
	done
	for value in http 80- -80 65536 90-80 80,,81 80,; do
		refuses "--ports \"$value\" is not a list of ports; accepted: up to 64 ports and ranges such as 25,80,8000-8999" \
			"$launcher" --ports "$value"
	done
	for value in /bin/sh a,,b ! ''; do
		refuses "--programs \"$value\" is not a list of programs; accepted: names such as httpd or !sshd" \
			"$launcher" --programs "$value"
	done
	refuses '--nodelay "yes" is not a state; accepted: on or off' "$launcher" --nodelay=yes
	refuses '--cork "" is not a state; accepted: on or off' "$launcher" --cork=
	refuses '--log "here" is not a place for the log; accepted: off, stderr, syslog, journal or a path that starts with /' \
		"$launcher" --log here
}

@test "what the launcher accepts the shim takes without a warning" {
	while read -r option value; do
		run "$launcher" "$option" "$value" true
		echo "$option $value: $status $output"
		[ "$status" -eq 0 ]
		[ -z "$output" ]
	done <<-'EOF'
		--mode sync
		--steps drain,linger
		--linger 0
		--linger .5
		--linger 1.
		--drain 86400
		--drain 1440m
		--idle 1.25ms
		--drain-bytes auto
		--drain-bytes 1.5G
		--drain-bytes 1073741824G
		--drain-bytes 0
		--roles connected,accepted
		--when always
		--abort keep
		--max 0
		--max 1000000
		--ports 0,65535,1-2
		--programs a,!b
		--log off
	EOF
}

@test "the shim warns of a value that only the environment brings, and the command runs" {
	run env LINGERCLOSE_DRAIN=soon "$launcher" sh -c 'echo ran; exit 3'
	echo "$output"
	[ "$status" -eq 3 ]
	[[ $output == *"lingerclose: LINGERCLOSE_DRAIN=\"soon\" is not a duration"*ran* ]]
}

@test "an unknown option, an option without its value and a missing command are refused" {
	refuses "there is no option --drian; lingerclose --help lists them" "$launcher" --drian 5s
	refuses "there is no option -d; lingerclose --help lists them" "$launcher" -d
	refuses "--off takes no value" "$launcher" --off=on
	for words in "" "--" "--drain 5s"; do
		# shellcheck disable=SC2086
		run "$launcher" $words
		[ "$status" -eq 125 ]
		[ "$output" = "lingerclose: no command given; lingerclose --help tells how" ]
	done
	run "$launcher" --drain
	[ "$status" -eq 125 ]
	[ "$output" = "lingerclose: --drain needs a value; lingerclose --help lists them" ]
}

@test "options end at -- and at the command, whose own options and empty arguments arrive as given" {
	run "$launcher" --drain 5s -- printf '[%s]' --help '' 'a b'
	[ "$output" = "[--help][][a b]" ]
	run "$launcher" printf '[%s]' --drain soon
	[ "$output" = "[--drain][soon]" ]
}

@test "the exit status is the command's, 127 where there is none, 126 where it cannot be run" {
	for code in 0 1 77; do
		run "$launcher" sh -c "exit $code"
		[ "$status" -eq $code ]
	done
	run -127 "$launcher" no-such-command
	[[ $output == *no-such-command* ]]
	: >"$there/not-executable"
	run -126 "$launcher" "$there/not-executable"
	[[ $output == *not-executable* ]]
}

@test "--print prints what would be set, as sh reads it back, and runs nothing" {
	run "$launcher" --off --drain 5s --drain 6s --programs "!it's" --log '/tmp/a b' --print touch "$there/ran"
	echo "$output"
	[ ! -e "$there/ran" ]
	[ "${#lines[@]}" -eq 5 ]
	eval "$(env LD_PRELOAD= "$launcher" --drain 5s --programs "!it's" --print | grep -v LD_PRELOAD)"
	[ "$LINGERCLOSE_DRAIN" = 5s ]
	[ "$LINGERCLOSE_PROGRAMS" = "!it's" ]
}

@test "--help, README and the shim know the same variables" {
	"$launcher" --help | grep -o 'LINGERCLOSE[A-Z_]*' | sort -u >"$there/help"
	grep -o '^| `LINGERCLOSE[A-Z_]*' "$top/README.md" | grep -o 'L.*' | sort -u >"$there/readme"
	grep -oh '"LINGERCLOSE[A-Z_]*"' "$top/shim/config.c" | tr -d '"' | sort -u >"$there/shim"
	[ "$(wc -l <"$there/help")" -gt 10 ]
	diff "$there/help" "$there/readme"
	diff "$there/help" "$there/shim"
	run "$launcher" -h
	[ "$status" -eq 0 ]
	awk 'length > 80 { exit 1 }' <<<"$output"
}

@test "--version prints the Makefile's version" {
	run "$launcher" --version
	[ "$output" = "lingerclose $(sed -n 's/^VERSION *= *//p' "$top/Makefile")" ]
}

@test "a library that is not there is refused; ld.so alone would run the command without it" {
	run env LD_PRELOAD="$there/build/liblingerclose.so" sh -c 'echo ran'
	[[ $output == *ran ]]
	checkout "$there"
	refuses "cannot preload $there/build/liblingerclose.so: it is not there; run make first" "$there/scripts/lingerclose"
}

@test "a library that cannot be read is refused" {
	checkout "$there"
	mkdir "$there/build/liblingerclose.so"
	refuses "cannot preload $there/build/liblingerclose.so: it cannot be read" "$there/scripts/lingerclose"
}

@test "a path with a space or a colon is refused; ld.so alone would split it" {
	for name in "a b" a:b; do
		checkout "$there/$name" "$lib"
		run env LD_PRELOAD="$there/$name/build/liblingerclose.so" sh -c 'echo ran; grep -c liblingerclose.so /proc/self/maps'
		[[ $output == *ran*0 ]]
		refuses "cannot preload $there/$name/build/liblingerclose.so: ld.so splits paths at a space or a colon; move it" \
			"$there/$name/scripts/lingerclose"
	done
}

@test "the launcher finds its library through a symbolic link and from any directory" {
	ln -s "$launcher" "$there/lc"
	cd "$there"
	for command in ./lc "$there/lc"; do
		run "$command" printenv LD_PRELOAD
		[ "$output" = "$lib" ]
	done
	cd "$top/scripts"
	run sh lingerclose printenv LD_PRELOAD
	[ "$output" = "$lib" ]
}

@test "make install installs a launcher that finds the installed library, and make uninstall removes both" {
	make -s -C "$top" install PREFIX="$there/prefix" DESTDIR=
	installed=$there/prefix/bin/lingerclose
	run "$installed" printenv LD_PRELOAD
	echo "$output"
	[ "$output" = "$there/prefix/lib/liblingerclose.so" ]
	run "$installed" --version
	[ "$output" = "$("$launcher" --version)" ]
	make -s -C "$top" uninstall PREFIX="$there/prefix" DESTDIR=
	[ -z "$(find "$there/prefix" ! -type d)" ]
}

@test "make install DESTDIR= stages the files, and the launcher names the place they will have" {
	make -s -C "$top" install PREFIX=/usr DESTDIR="$there/stage"
	[ -f "$there/stage/usr/lib/liblingerclose.so" ]
	refuses "cannot preload /usr/lib/liblingerclose.so: it is not there; install lingerclose again" \
		"$there/stage/usr/bin/lingerclose"
}
