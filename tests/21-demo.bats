load helper

setup_file() {
	load helper
	sh "$top/scripts/demo" >"$BATS_FILE_TMPDIR/output" 2>"$BATS_FILE_TMPDIR/errors"
}

setup() {
	demo=$BATS_FILE_TMPDIR/output
	cat "$demo" # shown where a test fails
}

# What follows $1 in the first line that starts so, without the commas in its numbers.
row() {
	sed -n "s/^$1 *//; t found; b; :found; s/  */ /g; s/,\([0-9]\)/\1/g; p; q" "$demo"
}

@test "the demo's client loses bytes to a RST without the shim and reads all of them with it" {
	need_netns
	read -r received _ sent ending rsts _ <<<"$(row 'without lingerclose' | sed 's/Connection reset by peer/reset/')"
	[ "$ending" = reset ]
	[ "$received" -lt "$sent" ]
	[ "$rsts" -ge 1 ]
	read -r received _ sent ending rsts _ <<<"$(row 'with lingerclose' | sed 's/end of file/eof/')"
	[ "$ending" = eof ]
	[ "$received" = "$sent" ]
	[ "$rsts" = 0 ]
}

@test "the demo's ladders run from SYN to RST without the shim, from SYN to two FINs with it" {
	need_netns
	without=$(sed -n '/^The packets without/,/^The packets with /p' "$demo")
	with=$(sed -n '/^The packets with /,/^==/p' "$demo")
	[[ $without == *" SYN "*" SYN, ACK "*" GET "*" RST "* ]]
	[[ $with == *" SYN "*" SYN, ACK "*" GET "*" FIN "*" FIN "* ]]
	[[ $with != *" RST "* ]]
}

@test "in the demo's table only sets of steps with a drain save the data" {
	for plain in '(without lingerclose)' linger shutdown linger,shutdown; do
		run row "$plain "
		[[ $output == "1000000 EOF "*" RESET "*" RESET" ]]
	done
	for drained in shutdown,drain linger,shutdown,drain; do
		run row "$drained "
		[ "$output" = "1000000 EOF 1000000 EOF 1000000 EOF" ]
	done
}

@test "the demo fits 80 columns and says nothing on stderr" {
	[ -z "$(awk 'length > 80' "$demo")" ]
	[ ! -s "$BATS_FILE_TMPDIR/errors" ]
}

@test "README's figures are what the demo prints, and writing them anew changes nothing else" {
	for block in demo ladder steps; do
		run sed -n "/^<!-- $block -->/,/^<!-- .$block -->/p" "$top/README.md"
		[ "${#lines[@]}" -gt 4 ]
	done
	cp "$top/README.md" "$BATS_TEST_TMPDIR/page"
	sh "$top/scripts/readme" "$BATS_TEST_TMPDIR/page" "$demo"
	outside() {
		sed '/^<!-- [a-z]* -->/,/^<!-- .[a-z]* -->/d' "$1"
	}
	diff <(outside "$top/README.md") <(outside "$BATS_TEST_TMPDIR/page")
	[ "$(grep -c RESET "$BATS_TEST_TMPDIR/page")" -ge 4 ]
}
