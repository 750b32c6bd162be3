#!/usr/bin/env bats
# lingerclose --unit NAME.service: a systemd drop-in on standard output, and nothing else anywhere.

load helper
load etc

setup() {
    launcher=$top/scripts/lingerclose
    there=$BATS_TEST_TMPDIR
}

# The unit t.service, and what systemd says to it with the drop-in of these options: $output
verified() {
    need_command systemd-analyze
    mkdir -p "$there/units/t.service.d"
    printf '[Service]\nExecStart=/bin/true\n' >"$there/units/t.service"
    rm -f "$there/units/t.service.d/lingerclose.conf"
    SYSTEMD_UNIT_PATH=$there/units: run systemd-analyze verify "$there/units/t.service"
    [ "$status.$output" = 0. ] || skip "systemd-analyze verify does not work here: $output"
    "$launcher" --unit t.service "$@" >"$there/units/t.service.d/lingerclose.conf"
    SYSTEMD_UNIT_PATH=$there/units: run systemd-analyze verify "$there/units/t.service"
    echo "$output"
    [ "$status.$output" = 0. ] || complain "systemd-analyze verify complains"
    # At this level it prints the unit as it has understood it.
    SYSTEMD_UNIT_PATH=$there/units: SYSTEMD_LOG_LEVEL=debug run systemd-analyze verify "$there/units/t.service"
    output=$(sed -n 's/^[[:space:]]*Environment: //p' <<<"$output")
    echo "$output"
}

@test "systemd takes the drop-in without a complaint, and has the library and each option in the environment" {
    verified
    [ "$output" = "LD_PRELOAD=$lib" ]
    verified --off --mode background --drain 5s --drain-bytes=64K --ports 25,8000-8999
    [ "$output" = "LD_PRELOAD=$lib
LINGERCLOSE=off
LINGERCLOSE_MODE=background
LINGERCLOSE_DRAIN=5s
LINGERCLOSE_DRAIN_BYTES=64K
LINGERCLOSE_PORTS=25,8000-8999" ]
}

@test "blanks, quotes, backslashes, percent and dollar signs arrive in systemd as given" {
    log="/var/log/a b  %c \"d\" it's \\e \\n \$f \${g} #h ;i ä"
    programs="!it's,a\"b,%%,\\"
    verified --log "$log" --programs "$programs"
    grep -qxF "LINGERCLOSE_LOG=$log" <<<"$output"
    grep -qxF "LINGERCLOSE_PROGRAMS=$programs" <<<"$output"
}

@test "the variables of who asks are not in it, only the options given" {
    LINGERCLOSE_IDLE=9s LD_PRELOAD=libc.so.6 run "$launcher" --unit nginx.service --drain 5s
    [ "$(grep -v '^#' <<<"$output")" = "[Service]
Environment=\"LD_PRELOAD=$lib\"
Environment=\"LINGERCLOSE_DRAIN=5s\"" ]
}

@test "where the package has made /run/lingerclose the service counts there, unless told otherwise" {
    [ "$(id -u)" = 0 ] || skip "only root can put another /run in place"
    need_mounts
    in_run() {
        # shellcheck disable=SC2016 # the inner shell's
        unshare -m --propagation private sh -c 'mount -t tmpfs run /run && eval "$0" && exec "$@"' "$@"
    }
    run in_run : "$launcher" --unit nginx.service
    [ "$status" = 0 ]
    never STATS <<<"$output"
    run in_run 'mkdir /run/lingerclose' "$launcher" --unit nginx.service
    grep -x 'Environment="LINGERCLOSE_STATS=/run/lingerclose"' <<<"$output"
    run in_run 'mkdir /run/lingerclose' "$launcher" --unit nginx.service --stats /var/tmp
    [ "$(grep STATS= <<<"$output" | grep -v '^#')" = 'Environment="LINGERCLOSE_STATS=/var/tmp"' ]
}

@test "its comment says how to put it in place and how to undo it, and these commands do" {
    private_etc
    "$launcher" --drain 5s --unit nginx.service --log "/var/log/it's %here" >"$there/drop-in"
    cat "$there/drop-in"
    # The commands of the comment, in a private /etc, with a systemctl that says what it was asked for.
    mkdir "$there/bin"
    ln -s "$launcher" "$there/bin/lingerclose"
    printf '#!/bin/sh\necho "systemctl $*"\n' >"$there/bin/systemctl"
    chmod 755 "$there/bin/systemctl"
    sed -n '/put it in place/,/see whether/s/^#     //p' "$there/drop-in" >"$there/do"
    sed -n '/undo it/,$s/^#     //p' "$there/drop-in" >"$there/undo"
    grep -c lingerclose.conf "$there/do" "$there/undo"
    cp -a "$etc" "$there/before"
    PATH=$there/bin:$PATH run with_etc sh -e "$there/do"
    echo "$output"
    [ "$output" = "systemctl daemon-reload
systemctl restart nginx.service" ]
    diff "$there/drop-in" "$etc/systemd/system/nginx.service.d/lingerclose.conf"
    PATH=$there/bin:$PATH run with_etc sh -e "$there/undo"
    [ "$output" = "systemctl daemon-reload
systemctl restart nginx.service" ]
    rmdir "$etc/systemd/system/nginx.service.d"
    [ -z "$(diff -rq --no-dereference "$there/before" "$etc")" ]
}

@test "a process that gets such an environment is reached, as the check of the comment says" {
    "$launcher" --unit t.service --drain 5s | sed -n 's/^Environment="\(.*\)"$/\1/p' >"$there/environment"
    mapfile -t environment <"$there/environment"
    env -i "${environment[@]}" sleep 1000 >/dev/null 2>&1 3>&- &
    pid=$!
    until [[ $(readlink /proc/$pid/exe) == */sleep ]]; do :; done
    run "$launcher" --check $pid
    kill $pid
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == *'setting: LINGERCLOSE_DRAIN=5s (the environment)'* ]]
}

@test "README's five commands lead from a service without the shim to one with it" {
    private_etc
    # systemctl is a stand-in that starts the service with what the drop-in sets; the service is a sleep.
    mkdir "$there/bin"
    ln -s "$launcher" "$there/bin/lingerclose"
    cp "$(readlink -f "$(command -v sleep)")" "$there/bin/nginx"
    cat >"$there/bin/systemctl" <<-'EOF'
		#!/bin/bash
		bin=${0%/*}
		case $1 in
		restart)
		    mapfile -t environment < <(sed -n 's/^Environment="\(.*\)"$/\1/p' "/etc/systemd/system/$2.d/"*.conf 2>/dev/null)
		    env -i "${environment[@]}" "$bin/nginx" 1000 >/dev/null 2>&1 &
		    echo $! >"$bin/pid"
		    until [ "$(readlink /proc/$!/exe)" = "$bin/nginx" ]; do :; done
		    ;;
		show) cat "$bin/pid" ;;
		esac
	EOF
    chmod 755 "$there/bin/systemctl"
    sed -n '/^..A systemd service/,/^.--unit. prints/s/^    //p' "$top/README.md" >"$there/commands"
    [ "$(wc -l <"$there/commands")" -eq 5 ]
    export PATH=$there/bin:$PATH
    with_etc systemctl restart nginx.service 3>&-
    pid=$(cat "$there/bin/pid")
    run "$launcher" --check "$pid"
    kill "$pid"
    [ "$status" -eq 1 ]
    run with_etc sh -e "$there/commands" 3>&-
    echo "$output"
    pid=$(cat "$there/bin/pid")
    loaded=$(grep -c "$lib" "/proc/$pid/maps")
    kill "$pid"
    [ "$status" -eq 0 ]
    [ "$loaded" -gt 0 ]
    [[ $output == *"process $pid"*"loaded: $lib"*'setting: LINGERCLOSE_DRAIN=5s (the environment)'*reached* ]]
}

@test "names of templates, and with escapes, are taken" {
    for name in a.service getty@.service openvpn@home.service 'systemd-fsck@dev-disk-by\x2duuid.service'; do
        run "$launcher" --unit "$name"
        [ "$status" -eq 0 ]
        [[ ${lines[0]} == "# $name under lingerclose"* ]]
    done
}

@test "what is no service's name, a command besides, and a line break in a value are refused in one line" {
    for name in nginx nginx.socket .service @a.service '' 'a b.service' a/b.service ../x.service $'a\n.service' -a.service \
        "$(printf 'a%.0s' {1..250}).service"; do
        run "$launcher" --unit "$name"
        echo "$output"
        [ "$status" -eq 125 ]
        [ "$output" = "lingerclose: --unit \"${name//[[:cntrl:]]/?}\" is not the name of a service; accepted: a name such as nginx.service or openvpn@home.service" ]
    done
    run "$launcher" --unit nginx.service nginx -g x
    [ "$status" -eq 125 ]
    [ "$output" = "lingerclose: --unit takes no command; the unit of nginx.service has it" ]
    run "$launcher" --unit nginx.service --programs $'a\n[Service]\nUser=root'
    [ "$status" -eq 125 ]
    [ "$output" = "lingerclose: LINGERCLOSE_PROGRAMS holds a control character, which has no place in a unit" ]
    run "$launcher" --unit
    [ "$output" = "lingerclose: --unit needs a value; lingerclose --help lists them" ]
}
