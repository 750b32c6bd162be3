# A strict reader of Prometheus's text format, version 0.0.4, as far as the textfile collector and promtool would insist:
# HELP and TYPE before the samples of a family, each family in one piece, no series twice, counters named _total,
# histograms with growing le, buckets that do not fall, and +Inf equal to _count. Prints what is wrong; fails then.
function wrong(what) { print FILENAME ":" FNR ": " what ": " $0; failed = 1 }
function family_of(name) {
    if (type[name] == "") sub(/_(bucket|sum|count)$/, "", name)
    return name
}
BEGIN {
    label = "[a-zA-Z_][a-zA-Z0-9_]*=\"([^\"\\\\]|\\\\[\\\\\"n])*\""
    sample = "^[a-zA-Z_:][a-zA-Z0-9_:]*([{]" label "(," label ")*[}])? [-+]?([0-9]+([.][0-9]+)?(e[-+]?[0-9]+)?|Inf|NaN)$"
}
/^# HELP / {
    if (help[$3]) wrong("a second HELP")
    if (NF < 4) wrong("no text")
    help[$3] = 1
    next
}
/^# TYPE / {
    if (type[$3] != "") wrong("a second TYPE")
    if (!help[$3]) wrong("TYPE before HELP")
    if ($4 !~ /^(counter|gauge|histogram)$/ || NF != 4) wrong("no type")
    if (($4 == "counter") != ($3 ~ /_total$/)) wrong("a counter, and nothing else, ends in _total")
    type[$3] = $4
    next
}
/^#/ { wrong("a comment that is not HELP or TYPE"); next }
$0 !~ sample { wrong("no sample"); next }
{
    series = $0; sub(/ [^ ]*$/, "", series)
    value = $NF
    name = series; sub(/[{].*/, "", name)
    family = family_of(name)
    if (type[family] == "") { wrong("no TYPE before it"); next }
    if (seen[series]++) wrong("a series twice")
    if (family != before && done[family]) wrong("a family in two pieces")
    done[before = family] = 1
    if (type[family] == "counter" && value < 0) wrong("a counter below 0")
    if (type[family] != "histogram") next
    if (name == family) wrong("a histogram's bare name")
    key = series
    sub(/[^{]*/, "", key)
    if (name ~ /_bucket$/) {
        if (key !~ /,le="[^"]*"[}]$/) { wrong("a bucket without le"); next }
        le = key; sub(/.*,le="/, "", le); sub(/".*/, "", le)
        sub(/,le="[^"]*"[}]$/, "}", key)
        if (bucket[key] != "" && value + 0 < bucket[key] + 0) wrong("a bucket that falls")
        if (upper[key] != "" && le != "+Inf" && le + 0 <= upper[key] + 0) wrong("le that does not grow")
        bucket[key] = value
        upper[key] = le
    }
    if (name ~ /_count$/ && (upper[key] != "+Inf" || bucket[key] != value)) wrong("the count is not the bucket of +Inf")
}
END {
    for (f in type) if (type[f] != "" && !help[f]) { print f ": no HELP"; failed = 1 }
    if (!NR) { print "nothing to read"; failed = 1 }
    exit failed
}
