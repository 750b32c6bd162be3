/*
 * A process that runs: has it the library, with which settings, and what lingers now? From proc(5) alone.
 */
#include "../shim/lingerclose.h"
#include "check.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHIM "/liblingerclose.so"
#define NAGLE "/liblingerclose-nagle.so"

FILE *open_of(pid_t pid, const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    return fopen(path, "re");
}

/* Where the link /proc/PID/NAME leads; "" where that cannot be read. */
char *link_of(pid_t pid, const char *name, char to[4096])
{
    char path[300];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    ssize_t n = readlink(path, to, 4095);
    to[n > 0 ? n : 0] = 0;
    return to;
}

/* The path of the library of this name in the process's memory, as its maps have it. */
static bool loaded(pid_t pid, const char *library, char where[5000])
{
    char line[5000];
    bool found = false;
    size_t length = strlen(library);
    FILE *f = open_of(pid, "maps");
    while (f && !found && fgets(line, sizeof line, f)) {
        char *path = strchr(line, '/');
        line[strcspn(line, "\n")] = 0;
        char *name = path ? strstr(path, library) : NULL;
        found = name && (!name[length] || name[length] == ' '); /* " (deleted)" may follow */
        if (found)
            snprintf(where, 5000, "%s", path);
    }
    if (f)
        fclose(f);
    return found;
}

/* getauxval(3) of another process, if its words are as wide as ours. */
static bool secure(pid_t pid)
{
    uint64_t wide[2];
    bool is = false;
    FILE *f = open_of(pid, "auxv");
    while (f && fread(wide, sizeof wide, 1, f) == 1 && wide[0] != AT_NULL)
        is |= wide[0] == AT_SECURE && wide[1];
    if (f)
        fclose(f);
    return is;
}

/* Ours becomes what its environment was when it began, as far as the shim looks. Whether that is still whole. */
static bool take_environment(pid_t pid, bool *preload)
{
    char *entry = NULL;
    size_t size = 0;
    bool whole = true;
    FILE *f = open_of(pid, "environ");
    clearenv();
    while (f && getdelim(&entry, &size, 0, f) > 0) {
        char *value = strchr(entry, '=');
        whole &= value != NULL;
        *preload |= !strncmp(entry, "LD_PRELOAD=", 11) && strstr(entry, "liblingerclose.so");
        if (value && !strncmp(entry, "LINGERCLOSE", 11)) {
            *value = 0;
            setenv(entry, value + 1, 1);
        }
    }
    free(entry);
    if (f)
        fclose(f);
    return whole;
}

/* A process in a container reads the file there. Not by its root alone: a daemon that has gone into a chroot since read
   the machine's. */
static void settings_of(pid_t pid, const char *name)
{
    char theirs[4096], ours[4096], root[64];
    snprintf(root, sizeof root, "/proc/%d/root", pid);
    if (strcmp(link_of(pid, "ns/mnt", theirs), link_of(getpid(), "ns/mnt", ours)) && (chroot(root) || chdir("/")))
        note("it has a file system of its own; its /etc/lingerclose.conf cannot be read, and ours is shown");
    check_settings(name);
}

static unsigned threads(pid_t pid, bool *ours)
{
    char path[64], name[64];
    unsigned n = 0;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (*e->d_name == '.')
            continue;
        n++;
        snprintf(path, sizeof path, "task/%.32s/comm", e->d_name);
        FILE *f = open_of(pid, path);
        *ours |= f && fgets(name, sizeof name, f) && !strcmp(name, "lingerclose\n");
        if (f)
            fclose(f);
    }
    if (d)
        closedir(d);
    return n;
}

static pid_t parent_of(pid_t pid)
{
    char line[1024], *after;
    long parent = 0;
    FILE *f = open_of(pid, "stat");
    if (f && fgets(line, sizeof line, f) && (after = strrchr(line, ')'))) /* the name may have any character */
        parent = strtol(after + 3, NULL, 10);
    if (f)
        fclose(f);
    return (pid_t)parent;
}

/* "nginx.service", from the last such part of its control group */
static bool unit_of(pid_t pid, char unit[300])
{
    char line[4096];
    bool found = false;
    FILE *f = open_of(pid, "cgroup");
    while (f && fgets(line, sizeof line, f))
        for (char *rest = line, *part; (part = strsep(&rest, "/\n"));)
            if (strlen(part) > 8 && !strcmp(part + strlen(part) - 8, ".service"))
                found = snprintf(unit, 300, "%s", part) < 300;
    if (f)
        fclose(f);
    return found;
}

/* Not loaded, though nothing in the file forbids it: who lost LD_PRELOAD? */
static void who_lost_it(pid_t pid)
{
    char program[4096], where[5000], unit[300], remedy[600];
    for (pid_t p = parent_of(pid); p > 0; p = parent_of(p)) {
        if (check_cleaner(link_of(p, "exe", program), false))
            return;
        if (loaded(p, SHIM, where)) {
            obstacle("start it by the launcher there",
                     "%s (process %d), which has the library, started it or its parents with "
                     "another environment",
                     program, p);
            return;
        }
    }
    if (unit_of(pid, unit)) {
        snprintf(remedy, sizeof remedy, "lingerclose --unit %s prints a drop-in for it", unit);
        obstacle(remedy, "it was started without the library, by systemd as %s", unit);
    } else {
        obstacle("end it, and start it by lingerclose", "it was started without the library");
    }
}

static void not_loaded(pid_t pid, bool preload)
{
    char exe[64];
    snprintf(exe, sizeof exe, "/proc/%d/exe", pid);
    unsigned before = findings();
    check_file(exe, true);
    if (findings() > before)
        return;
    if (secure(pid))
        obstacle("name the library in /etc/ld.so.preload, or let the service manager give the privilege",
                 "it was started setuid, setgid or with file capabilities, so ld.so ignored LD_PRELOAD");
    else if (preload)
        obstacle("see what ld.so wrote on its standard error when it was started",
                 "LD_PRELOAD names the library in its environment, but ld.so could not load it");
    else
        who_lost_it(pid);
}

/* Against Nagle there is a library of its own, which only --nodelay and --cork load. */
static void nagle(pid_t pid)
{
    char where[5000];
    if (loaded(pid, NAGLE, where))
        say("loaded", "%s", where);
    else if (config.nodelay || config.cork)
        note("%s is on, but liblingerclose-nagle.so is not loaded, and nothing is done against Nagle: start it by the "
             "launcher, which loads it",
             config.nodelay ? "LINGERCLOSE_NODELAY" : "LINGERCLOSE_CORK");
}

void check_process(pid_t pid)
{
    char program[4096], where[5000], exe[64];
    bool preload = false, ours = false, is_secure = secure(pid);
    snprintf(exe, sizeof exe, "/proc/%d", pid);
    if (access(exe, F_OK)) {
        doubt("give one that ps(1) shows", "there is no process %d", pid);
        return;
    }
    if (!*link_of(pid, "exe", program)) {
        bool denied = errno == EACCES || errno == EPERM;
        doubt(denied ? "be root" : "give a process that runs a program", "process %d %s", pid,
              denied ? "is somebody else's, and may not be looked into"
                     : "has no program: it is a kernel thread or a zombie");
        return;
    }
    say("program", "%s, process %d", program, pid);
    bool is_loaded = loaded(pid, SHIM, where);
    bool whole = take_environment(pid, &preload);
    if (is_secure)
        clearenv();
    if (!is_loaded) {
        not_loaded(pid, preload);
        return;
    }
    say("loaded", "%s", where);
    if (strstr(where, " (deleted)"))
        note("the library has been replaced since: the process has the old one until it is started anew");
    unsigned n = threads(pid, &ours);
    say("threads", "%u%s", n, ours ? ", one of them the shim's, for what lingers in the background" : "");
    check_lingering(pid);
    snprintf(exe, sizeof exe, "/proc/%d/exe", pid);
    check_go(exe);
    char *deleted = strstr(program, " (deleted)");
    if (deleted)
        *deleted = 0;
    if (whole && (preload || everywhere || is_secure))
        settings_of(pid, base_name(program));
    else
        check_memory(pid);
    nagle(pid);
}
