#!/usr/bin/env bats
# postgres: a child per connection, non-blocking, which ends by exit(3). psql as client.

load helper

need_postgres() {
    need_root
    local dir
    for dir in /usr/lib/postgresql/*/bin; do pgbin=$dir; done
    [ -x "$pgbin/postgres" ] || skip "postgres is not installed (Debian package postgresql)"
}

as_postgres=(setpriv --reuid postgres --regid postgres --clear-groups)

# The database is made once, and copied for each phase.
prepare_postgres() {
    local made=$BATS_FILE_TMPDIR/postgres
    if [ ! -e "$made/data" ]; then
        install -d -o postgres -m 700 "$made"
        (cd / && "${as_postgres[@]}" "$pgbin/initdb" --no-sync -A trust -D "$made/data" >"$work/initdb.log" 2>&1) || {
            cat "$work/initdb.log"
            return 1
        }
    fi
    rm -rf "${work:?}/data"
    cp -a "$made/data" "$work/data"
    postgres=("${as_postgres[@]}" "$pgbin/postgres" -D "$work/data" -F -p 5433 -c listen_addresses=127.0.0.1
        -c unix_socket_directories=)
}

start_postgres() {
    prepare_postgres
    cd /
    daemon 5433 "${postgres[@]}"
    until inside "$pgbin/pg_isready" -q -h 127.0.0.1 -p 5433; do sleep 0.05; done
}

# postgres without the shim: for the client's sake.
start_postgres_plainly() {
    local with=$phase
    phase=plain
    start_postgres
    phase=$with
}

# session WITH: every command of it by `inside` or `under`
session() {
    local psql=("$1" "$pgbin/psql" -X -h 127.0.0.1 -p 5433 -U postgres)
    "${psql[@]}" -At -c 'drop table if exists t' -c 'create table t (n int, s text)' -c 'select 6 * 7' 2>&1
    seq 50000 | sed 's/.*/&\tthe number &/' | "${psql[@]}" -c '\copy t from stdin'
    "${psql[@]}" -c '\copy t to stdout' | cksum
    "${psql[@]}" -At -c 'select count(*), sum(n) from t'
    "${psql[@]}" -c 'select * from none' 2>&1 || echo "exit $?"
    "${psql[@]}" -d nothing -c 'select 1' 2>&1 || echo "exit $?"
    "${psql[@]}" -c "copy (select repeat('x', 1000) from generate_series(1, 10000)) to stdout" 2>&1 | head -c 100
}

by_psql_outside() { session inside; }
by_psql_under() { session under; }

# startup DATABASE: the first message of the protocol, version 3.0, as user postgres; for peer's text=. MESSAGE TEXT: another.
startup() {
    local s="user\0postgres\0database\0$1\0\0"
    printf '%s' "\0\0\0$(printf '%b' "\\x$(printf %x $((32 + ${#1} + 1)))")\0$(printf '\003')\0\0$s"
}
query() {
    printf '%s' "Q\0\0\0$(printf '%b' "\\x$(printf %x $((${#1} + 5)))")$1\0"
}
terminate=$(printf 'X\\0\\0\\0\004')

long=$(startup postgres)$(query "select repeat('x',1000) from generate_series(1,3000)")$terminate
quiet_end=(text="$long" read)
early_end=(rcvbuf=65536 text="$long" send=65536 slow=32768:1)
quiet_none=(text="$(startup nothing)" read)
early_none=(text="$(startup nothing)" send=65536 read)

# One that works, and one whose client breaks off a COPY of 10 MB.
break_off() {
    local copy
    copy=$(startup postgres)$(query "copy (select repeat('x',1000) from generate_series(1,9999)) to stdout")
    inside "$pgbin/psql" -X -h 127.0.0.1 -p 5433 -U postgres -c 'select 1'
    inside "$bin/peer" 5433 text="$copy" await=reply close
    inside "$bin/peer" 5433 text="$copy" await=reply reset
}

@test "postgres: queries, COPY in and out, errors and a COPY broken off are the same" {
    need_postgres
    same postgres start_postgres by_psql_outside
}

@test "psql under the shim does the same" {
    need_postgres
    same psql start_postgres_plainly by_psql_under
}

@test "postgres: 3 MB and Terminate with 64 KB behind it arrive whole" {
    need_postgres
    early postgres "3 MB, Terminate, 64 KB behind" start_postgres 5433 quiet_end[@] early_end[@]
}

@test "postgres: a database that is not there, with 64 KB behind, gets its answer" {
    need_postgres
    early postgres "no such database, 64 KB behind" start_postgres 5433 quiet_none[@] early_none[@]
}

@test "postgres: sessions, also broken off in a COPY, leave nothing behind" {
    need_postgres
    tidy postgres start_postgres break_off INT
}
