#!/usr/bin/env bats
# The shared object as a file: what it exports, needs and leaves alone.

load helper

@test "the exported names are exactly those of the map" {
    # Names end in a semicolon; a comment or a keyword does not.
    map=$(tr '\n' ' ' <"$build/lingerclose.map" | sed 's|/\*[^*]*\*/||g; s/.*global://; s/local:.*//' |
        tr -s ' \t;' '\n' | grep . | sort)
    exported=$(nm -D --defined-only "$lib" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort)
    diff <(echo "$map") <(echo "$exported")
    grep -qx close <<<"$exported"
}

@test "nothing is needed but libc and libdl" {
    needed=$(readelf -d "$lib" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
    echo "$needed"
    grep -qx 'libc\.so\.6' <<<"$needed"
    never -vx 'libc\.so\.6\|libdl\.so\.2\|ld-linux-.*' <<<"$needed"
}

@test "no heap, no stdio, no environment but secure_getenv is referred to" {
    undefined=$(nm -D --undefined-only "$lib" | awk '{ sub(/@.*/, "", $2); print $2 }')
    echo "$undefined"
    # (fflush is: at exit what is buffered goes before any FIN.)
    # The control: the same look at a test program finds what is looked for.
    forbidden='malloc|calloc|realloc|free|reallocarray|posix_memalign|aligned_alloc|strdup|strndup|mmap64_alloc'
    forbidden+='|v?[fsd]?n?printf|v?asprintf|puts|fputs|fputc|putc|putchar|fwrite|fopen|fdopen|perror|stderr|stdout'
    forbidden+='|__[a-z]*printf_chk|getenv|setenv|syslog|err|errx|warn|warnx'
    nm -D --undefined-only "$bin/server" | awk '{ sub(/@.*/, "", $2); print $2 }' | grep -qxE "$forbidden"
    never -xE "$forbidden" <<<"$undefined"
}

@test "no mutex and no condition variable is referred to" {
    nm -D --undefined-only "$bin/threads" | grep -qE 'pthread_barrier'
    nm -D --undefined-only "$lib" | never -E 'pthread_(mutex|cond|rwlock|spin)'
}

@test "it has no executable stack, no text relocations and read-only relocations" {
    readelf -lW "$lib" | never -E 'GNU_STACK.*E'
    readelf -d "$lib" | never TEXTREL
    readelf -lW "$lib" | grep -q GNU_RELRO
    readelf -d "$lib" | grep -qE 'BIND_NOW|FLAGS.*NOW'
}

@test "it loads silently into a program, whatever that does with its descriptors" {
    # The control: ld.so is not silent about a library that cannot be loaded.
    run env LD_PRELOAD="$lib.not" /bin/true
    [ "$output" != "" ]
    run env LD_PRELOAD="$lib" /bin/true
    [ "$status" = 0 ]
    [ "$output" = "" ]
    run env LD_PRELOAD="$lib" /bin/false
    [ "$status" = 1 ]
    [ "$output" = "" ]
    run env LD_PRELOAD="$lib" sh -c 'exec 0<&- 2>&-; echo one; echo two | cat'
    [ "$output" = "one
two" ]
    LD_PRELOAD="$lib" sh -c 'exec >&- 2>&-; /bin/true'
}

@test "it opens no descriptor of its own when it is loaded" {
    # shellcheck disable=SC2012
    [ "$(LD_PRELOAD=$lib ls /proc/self/fd | wc -l)" = "$(ls /proc/self/fd | wc -l)" ]
}

@test "it starts no thread when it is loaded" {
    [ "$(LD_PRELOAD=$lib sh -c 'ls /proc/$$/task' | wc -l)" = 1 ]
}

@test "the debug build exports the same names" {
    diff <(nm -D --defined-only "$lib" | awk '{ print $3 }' | sort) \
        <(nm -D --defined-only "$debug_lib" | awk '{ print $3 }' | sort)
}

@test "the top level has what the README says and nothing else" {
    cd "$top"
    for file in Makefile README.md LICENSE; do [ -f $file ]; done
    for dir in shim tests scripts; do [ -d $dir ]; done
    # shellcheck disable=SC2010
    others=$(ls | grep -vxE 'Makefile|README\.md|LICENSE|shim|tests|scripts|build' || true)
    [ "$others" = "" ] || complain "at the top level: $others"
    grep -q 'MIT License' LICENSE
}
