/*
 * What lingers in a process now, seen from outside: its TCP sockets at the high numbers where the shim keeps them.
 */
#include "check.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the shim's numbers begin: out_of_the_way() in shim/descriptors.c. */
static long park_from(pid_t pid)
{
    char line[200];
    long limit = 1 << 15;
    FILE *f = open_of(pid, "limits");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "Max open files", 14) && strncmp(line + 14 + strspn(line + 14, " "), "unlimited", 9))
            limit = strtol(line + 14, NULL, 10);
    if (f)
        fclose(f);
    return (limit < 1 << 15 ? limit : 1 << 15) / 2;
}

#define MOST (1 << 15)
static unsigned long inodes[MOST];
static unsigned sockets;

static int by_number(const void *a, const void *b)
{
    unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;
    return (x > y) - (x < y);
}

/* The sockets at numbers from `least` up, and whether there is an io_uring. */
static bool list_sockets(pid_t pid, long least, bool *uring)
{
    char name[280], to[4096];
    snprintf(name, sizeof name, "/proc/%d/fd", pid);
    DIR *d = opendir(name);
    for (struct dirent *e; d && (e = readdir(d));) {
        snprintf(name, sizeof name, "fd/%s", e->d_name);
        link_of(pid, name, to);
        *uring |= !strcmp(to, "anon_inode:[io_uring]");
        if (strtol(e->d_name, NULL, 10) >= least && sockets < MOST)
            sockets += sscanf(to, "socket:[%lu]", &inodes[sockets]) == 1;
    }
    if (!d)
        return false;
    closedir(d);
    qsort(inodes, sockets, sizeof *inodes, by_number);
    return true;
}

/* States as in include/net/tcp_states.h. */
static const char *const states[] = {[1] = "ESTABLISHED", [4] = "FIN_WAIT1", [5] = "FIN_WAIT2", [7] = "CLOSE",
                                     [8] = "CLOSE_WAIT",  [9] = "LAST_ACK",  [11] = "CLOSING"};
#define STATES (sizeof states / sizeof *states)

static unsigned count_states(pid_t pid, const char *table, unsigned count[STATES])
{
    char line[512];
    unsigned all = 0, state;
    unsigned long inode;
    FILE *f = open_of(pid, table);
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, " %*u: %*s %*s %x %*s %*s %*s %*u %*u %lu", &state, &inode) == 2 && state < STATES &&
            states[state] && bsearch(&inode, inodes, sockets, sizeof *inodes, by_number)) {
            count[state]++;
            all++;
        }
    if (f)
        fclose(f);
    return all;
}

void check_lingering(pid_t pid)
{
    unsigned count[STATES] = {0};
    char text[300] = "";
    bool uring = false;
    long least = park_from(pid);
    if (!list_sockets(pid, least, &uring)) {
        note("what lingers now cannot be seen: /proc/%d/fd cannot be read", pid);
        return;
    }
    unsigned all = count_states(pid, "net/tcp", count) + count_states(pid, "net/tcp6", count);
    for (unsigned i = 0, n = 0; i < STATES; i++)
        if (count[i])
            n += (unsigned)snprintf(text + n, sizeof text - n, "%s%s %u", n ? ", " : ": ", states[i], count[i]);
    say("lingering now",
        "%u%s (counted: TCP sockets at descriptors from %ld up, where the shim keeps them, by their "
        "state in /proc/%d/net/tcp and tcp6)",
        all, text, least, pid);
    if (uring)
        note("it has an io_uring: closes that go through it are not seen");
}
