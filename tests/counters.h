/* The kernel's counters of this network namespace. */
#ifndef TESTS_COUNTERS_H
#define TESTS_COUNTERS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Both files are pairs of lines: the names, then the values. */
static inline long counter(const char *path, const char *group, const char *name)
{
    static char names[8192], values[8192];
    FILE *file = fopen(path, "re");
    long found = -1;

    while (file && fgets(names, sizeof names, file) && fgets(values, sizeof values, file)) {
        if (strncmp(names, group, strlen(group)))
            continue;
        char *n, *v, *next_name = names, *next_value = values;
        while ((n = strsep(&next_name, " \n")) && (v = strsep(&next_value, " \n")))
            if (!strcmp(n, name))
                found = atol(v);
    }
    if (file)
        fclose(file);
    return found;
}

static inline void print_counters(const char *prefix)
{
    printf("%srsts=%ld abort_on_close=%ld abort_on_data=%ld estab_resets=%ld\n", prefix,
           counter("/proc/net/snmp", "Tcp:", "OutRsts"), counter("/proc/net/netstat", "TcpExt:", "TCPAbortOnClose"),
           counter("/proc/net/netstat", "TcpExt:", "TCPAbortOnData"), counter("/proc/net/snmp", "Tcp:", "EstabResets"));
}

#endif
