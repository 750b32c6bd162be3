# shellcheck shell=sh
# For the benches, by `. figures.sh`: medians and quartiles, and where the results go.
#   $top $bin $lib $out

top=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
bin=$top/build/tests
lib=${SHIM:-$top/build/liblingerclose.so}
out=${OUT:-$top/build/bench}
export top bin lib out
mkdir -p "$out" || exit 1

# spread FORMAT: of the numbers on standard input the median, and the first and third quartile: three words
spread() {
    sort -n | awk -v f="$1" '{ v[NR] = $1 } END {
        printf f " " f " " f "\n", v[int((NR + 1) / 2)], v[int((NR + 3) / 4)], v[int((3 * NR + 1) / 4)] }'
}

# brackets: what spread printed as "median (first to third)"
brackets() { awk '{ printf "%s (%s to %s)", $1, $2, $3 }'; }

# plot NAME: $out/NAME.svg of $out/NAME.csv, by the lines of gnuplot on standard input
plot() {
    if ! command -v gnuplot >/dev/null; then
        echo "no build/bench/$1.svg: gnuplot is not installed (sh scripts/packages bench)" >&2
        cat >/dev/null
        return
    fi
    { cat "$top/tests/bench/style.gnuplot" - | gnuplot -e "out='$out/$1.svg'; csv='$out/$1.csv'" -; } || exit 1
}
