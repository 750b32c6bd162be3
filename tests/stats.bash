# For the tests of the counters: `load stats`, after `load helper`.
#
#   metric NAME [LABELS]     the sample of lingerclose_NAME{program="...",LABELS}, of the one program that counts
#   counts NAME=N...         each of these metrics is N; NAME may have labels in parentheses: closes_total(decided="held")

pages=$BATS_TEST_TMPDIR/pages.d
reader=$top/build/lingerclose-status

make_directory() {
    export LINGERCLOSE_STATS=$pages
    mkdir "$pages"
}

# A fresh directory, for the next counts.
forget() {
    rm -rf "$pages"
    mkdir "$pages"
}

metric() {
    "$reader" --prometheus | awk -v name="lingerclose_$1{" -v labels="${2-}" '
        index($0, name) == 1 && index($0, labels "}") { n++; print $2 }
        END { exit n != 1 }' || complain "not one sample of $1 $2"
}

counts() {
    local want name labels got
    for want; do
        name=${want%=*} labels=
        case $name in
        *\(*) labels=${name#*\(} labels=${labels%\)} name=${name%%\(*} ;;
        esac
        got=$(metric "$name" "$labels") || complain "$got"
        [ "$got" = "${want##*=}" ] || complain "$name $labels is $got, not ${want##*=}"
    done
}

# What is in the directory, without the process numbers.
files() {
    # shellcheck disable=SC2012 # our own names
    ls "$pages" | sed 's/^[0-9][0-9]*/PID/' | tr '\n' ' '
}
