/*
 * Programs that are known to start others with an environment of their own making, so that LD_PRELOAD is lost. By name:
 * nothing in the file tells. The remedies are from their own manuals, named in each line.
 */
#include "check.h"

#include <stdio.h>
#include <string.h>

enum kind {
    SERVES,   /* what it starts has the connections */
    ASKS,     /* another process, started long before, starts the program */
    SESSIONS, /* what it starts is somebody's session: the connection stays with the program itself */
};

static const struct {
    const char *name, *within; /* within: also a part of the path, where the name alone says too little */
    enum kind kind;
    const char *remedy;
} cleaners[] = {
    {"inetd", NULL, SERVES, "in inetd.conf name lingerclose as the program and the server as its first argument"},
    {"master", "postfix", SERVES, "in main.cf add LD_PRELOAD=%s to import_environment (postconf(5))"},
    {"postfix", NULL, SERVES, "in main.cf add LD_PRELOAD=%s to import_environment (postconf(5))"},
    {"dovecot", NULL, SERVES, "in dovecot.conf: import_environment = $import_environment LD_PRELOAD=%s"},
    {"cron", NULL, SERVES, "in the crontab set LD_PRELOAD=%s before the job (crontab(5))"},
    {"crond", NULL, SERVES, "in the crontab set LD_PRELOAD=%s before the job (crontab(5))"},
    {"anacron", NULL, SERVES, "in anacrontab set LD_PRELOAD=%s before the job (anacrontab(5))"},
    {"sudo", NULL, ASKS, "name lingerclose after sudo: sudo lingerclose COMMAND (sudoers(5), env_reset)"},
    {"doas", NULL, ASKS, "name lingerclose after doas: doas lingerclose COMMAND (doas.conf(5))"},
    {"pkexec", NULL, ASKS, "name lingerclose after pkexec: pkexec lingerclose COMMAND (pkexec(1))"},
    {"systemctl", NULL, ASKS, "lingerclose --unit NAME.service prints a drop-in for the unit"},
    {"systemd-run", NULL, ASKS, "name lingerclose after it: systemd-run lingerclose COMMAND"},
    {"service", NULL, ASKS, "lingerclose --unit NAME.service prints a drop-in for the unit"},
    {"invoke-rc.d", NULL, ASKS, "lingerclose --unit NAME.service prints a drop-in for the unit"},
    {"docker", NULL, ASKS, "give the container the library and LD_PRELOAD (-v and -e)"},
    {"podman", NULL, ASKS, "give the container the library and LD_PRELOAD (-v and -e)"},
    {"nerdctl", NULL, ASKS, "give the container the library and LD_PRELOAD (-v and -e)"},
    {"ssh", NULL, ASKS, "name lingerclose in the command for the other machine"},
    {"sshd", NULL, SESSIONS, "start lingerclose in the session"},
    {"login", NULL, SESSIONS, "start lingerclose in the session"},
    {"su", NULL, SESSIONS, "start lingerclose in the session: su - USER -c 'lingerclose COMMAND'"},
    {"agetty", NULL, SESSIONS, "start lingerclose in the session"},
};

static bool fits(unsigned i, const char *path)
{
    return !strcmp(base_name(path), cleaners[i].name) && (!cleaners[i].within || strstr(path, cleaners[i].within));
}

/* itself: path is the program that is asked about; else it is an ancestor of a process that has lost the library, and
   what had to be asked or makes sessions proves nothing: most processes have one above them. Whether it is to blame. */
bool check_cleaner(const char *path, bool itself)
{
    char remedy[4600];
    for (unsigned i = 0; i < sizeof cleaners / sizeof *cleaners; i++) {
        if (!fits(i, path) || (!itself && cleaners[i].kind != SERVES))
            continue;
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(remedy, sizeof remedy, cleaners[i].remedy, library);
        const char *name = cleaners[i].name;
        if (!itself)
            obstacle(remedy, "%s, which started it or its parents, gives them an environment without LD_PRELOAD", name);
        else if (everywhere)
            continue;
        else if (cleaners[i].kind == SERVES)
            obstacle(remedy, "what %s starts gets an environment without LD_PRELOAD", name);
        else if (cleaners[i].kind == ASKS)
            obstacle(remedy, "%s does not hand its environment to the program that it is asked for", name);
        else
            note("a session that %s starts gets an environment without LD_PRELOAD; remedy: %s", name, remedy);
        return true;
    }
    return false;
}
