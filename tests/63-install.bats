#!/usr/bin/env bats
# What make install puts where: library, launcher, tools, man pages, completions, pkg-config; and that all of it says
# the same about options and variables.

load helper

setup() {
    launcher=$top/scripts/lingerclose
    there=$BATS_TEST_TMPDIR
    man1=$top/scripts/lingerclose.1
    man7=$top/scripts/liblingerclose.7
}

installs() {
    make -s -C "$top" install "$@"
}

# The options in --help and the variables in config.c: the measure for all else.
options() {
    "$launcher" --help | grep -oE '^--[a-z-]+|--(help|version)' | sort -u
}

variables() {
    grep -oh '"LINGERCLOSE[A-Z_]*"' "$top/shim/config.c" | tr -d '"' | sort -u
}

@test "make install puts everything at the usual places, and make uninstall removes exactly that" {
    mkdir -p "$there/prefix/lib/lingerclose" "$there/prefix/share/man/man1"
    echo theirs >"$there/prefix/lib/lingerclose/other"
    echo theirs >"$there/prefix/share/man/man1/other.1"
    (cd "$there/prefix" && find . ! -type d) | sort >"$there/before"
    installs PREFIX="$there/prefix" DESTDIR=
    (cd "$there/prefix" && find . ! -type d -printf '%m %p\n') | sort -k 2 >"$there/after"
    cat "$there/after"
    diff - "$there/after" <<-'EOF'
		755 ./bin/lingerclose
		755 ./lib/liblingerclose-nagle.so
		755 ./lib/liblingerclose.so
		755 ./lib/lingerclose/lingerclose-check
		755 ./lib/lingerclose/lingerclose-report
		755 ./lib/lingerclose/lingerclose-status
		755 ./lib/lingerclose/lingerclose-unit
		644 ./lib/lingerclose/other
		644 ./lib/pkgconfig/lingerclose.pc
		644 ./share/bash-completion/completions/lingerclose
		644 ./share/man/man1/lingerclose.1
		644 ./share/man/man1/other.1
		644 ./share/man/man7/liblingerclose.7
		644 ./share/zsh/site-functions/_lingerclose
	EOF
    make -s -C "$top" uninstall PREFIX="$there/prefix" DESTDIR=
    (cd "$there/prefix" && find . ! -type d) | sort | diff "$there/before" -
    rm "$there/prefix/lib/lingerclose/other"
    installs PREFIX="$there/prefix" DESTDIR=
    make -s -C "$top" uninstall PREFIX="$there/prefix" DESTDIR=
    [ ! -d "$there/prefix/lib/lingerclose" ]
}

@test "nothing that is installed keeps a place to be filled in, and DESTDIR is not in it" {
    installs PREFIX=/usr LIBDIR=/usr/lib/here DESTDIR="$there/stage"
    [ -f "$there/stage/usr/lib/here/liblingerclose.so" ]
    [ -x "$there/stage/usr/lib/here/lingerclose/lingerclose-check" ]
    grep -rqF /usr/lib/here/liblingerclose.so "$there/stage/usr/share/man"
    grep -rqF /usr/bin/lingerclose "$there/stage/usr/share/man"
    files=$(grep -rlI . "$there/stage")
    # shellcheck disable=SC2086
    never -lE '@[A-Z]+@' $files
    # shellcheck disable=SC2086
    never -lF "$there" $files
    make -s -C "$top" uninstall PREFIX=/usr LIBDIR=/usr/lib/here DESTDIR="$there/stage"
    [ -z "$(find "$there/stage" ! -type d)" ]
}

@test "pkg-config tells the library's path and the version" {
    need_command pkg-config
    installs PREFIX="$there/prefix" DESTDIR=
    export PKG_CONFIG_PATH=$there/prefix/lib/pkgconfig
    pkg-config --validate lingerclose
    preload=$(pkg-config --variable=preload lingerclose)
    run env LD_PRELOAD="$preload" cat /proc/self/maps
    [[ $output == *"$there/prefix/lib/liblingerclose.so"* ]]
    [ "lingerclose $(pkg-config --modversion lingerclose)" = "$("$launcher" --version)" ]
    run env LD_PRELOAD= cat /proc/self/maps
    [[ $output != *liblingerclose.so* ]]
}

@test "the installed launcher checks programs and prints units, with the library's installed path" {
    installs PREFIX="$there/prefix" DESTDIR=
    cd /
    run "$there/prefix/bin/lingerclose" --check sh
    echo "$output"
    [ "$status" -eq 0 ]
    run "$there/prefix/bin/lingerclose" --unit nginx.service
    [[ $output == *"Environment=\"LD_PRELOAD=$there/prefix/lib/liblingerclose.so\""* ]]
    rm "$there/prefix/lib/lingerclose/lingerclose-check"
    run "$there/prefix/bin/lingerclose" --check sh
    [ "$status" -eq 125 ]
    [ "$output" = "lingerclose: cannot run $there/prefix/lib/lingerclose/lingerclose-check: it is not there; install lingerclose again" ]
}

# What depends on the machine's other pages is left out.
lint() {
    mandoc -Tlint -W style "$1" 2>&1 | grep -vE 'referenced manual not found|outdated mandoc.db' || true
}

@test "mandoc finds nothing in the man pages" {
    need_command mandoc
    sed 's/^\.It Ev LINGERCLOSE_MODE/.Itt Ev &/' "$man7" >"$there/bad.7"
    [ -n "$(lint "$there/bad.7")" ]
    for page in "$man1" "$man7"; do
        [ -z "$(lint "$page")" ] || complain "$(lint "$page")"
    done
}

@test "README, the shim, lingerclose(1) and liblingerclose(7) know the same variables with the same defaults" {
    need_command mandoc
    variables >"$there/shim"
    [ "$(wc -l <"$there/shim")" -gt 10 ]
    grep -o '^| `LINGERCLOSE[A-Z_]*' "$top/README.md" | grep -o 'L.*' | sort -u | diff "$there/shim" -
    grep -oE '^\.It Ev LINGERCLOSE[A-Z_]*' "$man7" | grep -o 'L.*' | sort -u | diff "$there/shim" -
    grep -oE '^\.Ev LINGERCLOSE[A-Z_]*' "$man1" | grep -o 'L.*' | sort -u | diff "$there/shim" -
    # Each default that README's table has in backquotes is in the page's paragraph of that variable.
    mandoc -Tascii -O width=1000 "$man7" | sed 's/.\x08//g' >"$there/page"
    sed -n 's/^| `\(LINGERCLOSE[A-Z_]*\)` | `\([^`]*\)` |.*/\1 \2/p' "$top/README.md" >"$there/defaults"
    [ "$(wc -l <"$there/defaults")" -gt 10 ]
    while read -r name default; do
        awk -v name="$name" '$0 ~ "^ *" name "$" { on = 1; next } on && /^ *LINGERCLOSE[A-Z_]*$/ { on = 0 } on' \
            "$there/page" >"$there/paragraph"
        case $default in
        *,*) grep -qE 'default is (all of them|both)' "$there/paragraph" ;;
        on | tcp) grep -qE "^ *$default, or" "$there/paragraph" ;;
        *) grep -qE "$default, the default|default is $default\." "$there/paragraph" ;;
        esac || complain "$name: $default is not the default in liblingerclose(7)"
    done <"$there/defaults"
}

@test "every option of --help is in lingerclose(1), and no other" {
    options >"$there/help"
    [ "$(wc -l <"$there/help")" -gt 15 ]
    sed -nE 's/^\.It (Fl h , )?Fl -([a-z-]+).*/--\2/p' "$man1" | sort -u | diff "$there/help" -
}

# completed WORD... : what bash completion offers for the last of these words of a command line
completed() {
    bash -c '. "$0"; shopt -s progcomp
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
        _lingerclose 2>/dev/null
        printf "%s\n" "${COMPREPLY[@]}"' "$top/scripts/completions/lingerclose.bash" "$@"
}

@test "bash completes every option, the values of those that have words, and the command" {
    bash -c '. "$0"; complete -p lingerclose' "$top/scripts/completions/lingerclose.bash" | grep -q -- '-F _lingerclose'
    options | diff - <(completed lingerclose -- | sort)
    [ "$(completed lingerclose --mo)" = --mode ]
    [ "$(completed lingerclose --mode s)" = sync ]
    [ "$(completed lingerclose --mode = b)" = background ]
    [ "$(completed lingerclose --mode =)" = "$(printf 'auto\nsync\nbackground')" ]
    [ "$(completed lingerclose --off --when p)" = pending ]
    [ "$(completed lingerclose --steps linger,d)" = linger,drain ]
    [ "$(completed lingerclose --steps = linger,shutdown,d)" = linger,shutdown,drain ]
    [ "$(completed lingerclose --log st)" = stderr ]
    [ "$(completed lingerclose --log /etc/passw)" = "$(compgen -f /etc/passw)" ]
    [ -z "$(completed lingerclose --drain '')" ]
    completed lingerclose --drain 5s unshar | grep -qx unshare
    completed lingerclose --drain = 5s -- unshar | grep -qx unshare
    completed lingerclose --check unshar | grep -qx unshare
    completed lingerclose --check $$ | grep -qx $$
    never . < <(completed lingerclose $$ | grep -qx $$)
    # What follows the command is its own.
    [ -z "$(completed lingerclose unshare --mo)" ]
    [ "$(completed lingerclose cat /etc/passw)" = "$(compgen -f /etc/passw)" ]
}

@test "every value that completion offers is one that the launcher takes" {
    while read -r option; do
        for value in $(completed lingerclose "$option" ''); do
            [ "$option" = --unit ] || "$launcher" "$option" "$value" true || complain "$option $value"
        done
    done < <(options | grep -vxE -- '--(off|nodelay|cork|check|status|report|print|help|version)')
    completed lingerclose --abort '' | grep -qx keep
    for option in --nodelay --cork; do # where a value follows after = only
        for value in $(completed lingerclose $option =); do "$launcher" "$option=$value" true || complain "$option=$value"; done
        completed lingerclose $option = o | grep -qx off
        completed lingerclose $option unshar | grep -qx unshare
    done
}

# zsh completes these keystrokes to: the line then
zsh_completed() {
    zsh -f "$top/tests/complete.zsh" "$top/scripts/completions" "$1"
}

@test "zsh completes every option, and the values of those that have words" {
    need_command zsh
    zsh -n "$top/scripts/completions/_lingerclose"
    sed -nE "s/^ *'?(\([^)]*\))?'?(\{-h,)?(--[a-z-]+).*/\3/p" "$top/scripts/completions/_lingerclose" | sort -u |
        diff <(options) -
    while read -r keys; do
        read -r line
        run zsh_completed "$keys"
        echo "$keys -> $output"
        [ "$output" = "$line" ]
    done <<-'EOF'
		lingerclose --mo
		lingerclose --mode
		lingerclose --mode b
		lingerclose --mode background
		lingerclose --mode=b
		lingerclose --mode=background
		lingerclose --drain 5s --when p
		lingerclose --drain 5s --when pending
		lingerclose --steps linger,dr
		lingerclose --steps linger,drain
		lingerclose --log std
		lingerclose --log stderr
		lingerclose --log /etc/passw
		lingerclose --log /etc/passwd
		lingerclose --off lingerclose-test-comm
		lingerclose --off lingerclose-test-command
		lingerclose --check lingerclose-test-comm
		lingerclose --check lingerclose-test-command
	EOF
}
