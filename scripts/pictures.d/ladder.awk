# The packets that scripts/demo printed, as SVG: both ladders side by side, and what the client had in the end.
function escaped(s) {
    gsub(/&/, "\\&amp;", s)
    gsub(/</, "\\&lt;", s)
    return s
}

function text(x, y, anchor, more, s) {
    body = body sprintf("<text x=\"%d\" y=\"%d\" text-anchor=\"%s\"%s>%s</text>\n", x, y, anchor, more, escaped(s))
}

function line(x1, y1, x2, y2, more) {
    body = body sprintf("<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"%s/>\n", x1, y1, x2, y2, more)
}

# The rows of the demo's first table.
/^with(out)? lingerclose .* of / {
    which = $1
    sub(/^with(out)? lingerclose +/, "")
    match($0, /^[0-9,]+ of [0-9,]+/)
    had[which] = substr($0, 1, RLENGTH) " bytes, then "
    rest = substr($0, RLENGTH + 1)
    sub(/^ +/, "", rest)
    sub(/  +.*/, "", rest)
    had[which] = had[which] tolower(substr(rest, 1, 1)) substr(rest, 2)
    next
}

/^The packets with/ { # (out)
    panel++
    title[panel] = $3
    left = 70 + (panel - 1) * 480
    right = left + 330
    y = 70
    text((left + right) / 2, 24, "middle", " class=\"title\"", $3 " lingerclose")
    text(left, 50, "middle", "", "client")
    text(right, 50, "middle", "", "server")
    next
}

panel && /^ *[0-9.]+ +\| .* \|$/ {
    to_server = /-> \|$/
    label = $0
    ms = $1
    sub(/^ *[0-9.]+ +\| (<-)?-*/, "", label)
    sub(/-*(->)? \|$/, "", label)
    gsub(/^ +| +$/, "", label)
    color = label == "RST" ? " class=\"rst\"" : ""
    from = to_server ? left : right
    to = to_server ? right - 7 : left + 7
    y += 34
    text(left - 10, y + 4, "end", " class=\"ms\"", ms)
    text((left + right) / 2, y - 5, "middle", color, label)
    line(from, y, to, y, (label == "RST" ? " class=\"rst\"" : "") " marker-end=\"url(#" (label == "RST" ? "rst" : "head") ")\"")
    if (y > bottom)
        bottom = y
    last[panel] = y
}

END {
    if (panel != 2 || !bottom) {
        print "ladder: the demo has printed no two ladders (it cannot capture packets here)" >"/dev/stderr"
        exit 1
    }
    for (p = 1; p <= 2; p++) {
        left = 70 + (p - 1) * 480
        right = left + 330
        line(left, 58, left, bottom + 18, " class=\"life\"")
        line(right, 58, right, bottom + 18, " class=\"life\"")
        text((left + right) / 2, bottom + 44, "middle", title[p] == "without" ? " class=\"rst\"" : " class=\"good\"", had[title[p]])
    }
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 920 %d\" width=\"920\" height=\"%d\" font-family=\"sans-serif\" font-size=\"13\">\n", bottom + 62, bottom + 62
    print "<style>line { stroke: #4c78a8; stroke-width: 1.6 } .life { stroke: #999 } .ms { fill: #777; font-size: 11px }"
    print ".title { font-size: 16px; font-weight: bold } line.rst { stroke: #d62728; stroke-width: 2.2 } text.rst { fill: #d62728; font-weight: bold }"
    print ".good { fill: #2a7f3f; font-weight: bold }</style>"
    print "<defs><marker id=\"head\" markerWidth=\"9\" markerHeight=\"8\" refX=\"1\" refY=\"4\" orient=\"auto\" markerUnits=\"userSpaceOnUse\"><path d=\"M0,0 L9,4 L0,8 z\" fill=\"#4c78a8\"/></marker>"
    print "<marker id=\"rst\" markerWidth=\"9\" markerHeight=\"8\" refX=\"1\" refY=\"4\" orient=\"auto\" markerUnits=\"userSpaceOnUse\"><path d=\"M0,0 L9,4 L0,8 z\" fill=\"#d62728\"/></marker></defs>"
    print "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    printf "%s</svg>\n", body
}
