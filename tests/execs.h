/* The models whose handler is another program, with the connection on descriptors 0, 1 and 2. */
#ifndef EXECS_H
#define EXECS_H

#include "handlers.h"
#include <spawn.h>
#include <sys/syscall.h>

extern char **environ;

static char self[4096];

/* The handler of every model that execs: the connection is on 0, 1 and 2, the gate on 3. */
static _Noreturn void handler_main(void)
{
    if (opt.gate)
        gate_wait((struct gate){GATE_FD, -1});
    answer(0, opt.bytes);
    if (opt.end_by_exit)
        exit(0);
    close(2);
    close(0);
    close(1);
    _exit(0);
}

static char bytes_arg[24];
static char *handler_argv[8] = {self, "handler", "--bytes", bytes_arg};

static void handler_command(void)
{
    int n = 4;

    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        die("/proc/self/exe");
    snprintf(bytes_arg, sizeof bytes_arg, "%zu", opt.bytes);
    if (opt.end_by_exit) {
        handler_argv[n++] = "--end";
        handler_argv[n++] = "exit";
    }
    if (opt.gate)
        handler_argv[n++] = "--gate";
}

/* By the name of the call; execv where there is none, so that a call that fails is seen. */
static void execute(char **argv)
{
    const char *how = opt.exec ? opt.exec : "execv";

    if (!strcmp(how, "execv"))
        execv(argv[0], argv);
    else if (!strcmp(how, "execvp"))
        execvp(argv[0], argv);
    else if (!strcmp(how, "execvpe"))
        execvpe(argv[0], argv, environ);
    else if (!strcmp(how, "fexecve"))
        fexecve(open(argv[0], O_RDONLY | O_CLOEXEC), argv, environ);
    else if (!strcmp(how, "execveat"))
        execveat(AT_FDCWD, argv[0], argv, environ, 0);
    else if (!strcmp(how, "SYS_execveat"))
        syscall(SYS_execveat, AT_FDCWD, argv[0], argv, environ, 0);
    else if (!strcmp(how, "execle"))
        execle(argv[0], argv[0], argv[1], argv[2], argv[3], NULL, environ);
}

/* What every inetd does between fork and exec; all of it may be done in a vfork child. */
static void become(char **argv, int conn, struct gate gate)
{
    if (gate.wait >= 0)
        dup2(gate.wait, GATE_FD);
    dup2(conn, 0);
    dup2(conn, 1);
    dup2(conn, 2);
    if (conn > GATE_FD)
        close(conn);
    execute(argv);
    _exit(127);
}

static void fork_exec(int conn)
{
    struct gate gate = gate_make(opt.gate);

    if (!forked())
        become(handler_argv, conn, gate);
    close(conn);
    gate_open(gate);
}

static void vfork_exec(int conn)
{
    struct gate gate = gate_make(opt.gate);
    pid_t pid = vfork();

    if (!pid)
        become(handler_argv, conn, gate);
    if (pid < 0)
        die("vfork");
    close(conn);
    gate_open(gate);
}

static void spawn(int conn)
{
    struct gate gate = gate_make(opt.gate);
    posix_spawn_file_actions_t actions;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    if (gate.wait >= 0)
        posix_spawn_file_actions_adddup2(&actions, gate.wait, GATE_FD);
    for (int fd = 0; fd < 3; fd++)
        posix_spawn_file_actions_adddup2(&actions, conn, fd);
    if (conn > GATE_FD)
        posix_spawn_file_actions_addclose(&actions, conn);
    if ((opt.exec ? posix_spawnp : posix_spawn)(&pid, self, &actions, NULL, handler_argv, environ))
        die("posix_spawn");
    posix_spawn_file_actions_destroy(&actions);
    close(conn);
    gate_open(gate);
}

/* The connection is standard input, output and error of a shell, and of all that it runs before
 * the last command, which answers; each of their exits must leave the connection alone. */
static void sh_handler(int conn)
{
    static char script[] = "/bin/true; (exit 0); (:; :) | /bin/cat; x=$(echo sub; /bin/true);"
                           "echo \"$x\" | /bin/cat | /bin/cat >/dev/null; exec \"$0\" \"$@\"";
    char *argv[3 + sizeof handler_argv / sizeof *handler_argv] = {"/bin/sh", "-c", script};
    struct gate gate = gate_make(opt.gate);

    memcpy(argv + 3, handler_argv, sizeof handler_argv);
    if (!forked())
        become(argv, conn, gate);
    close(conn);
    gate_open(gate);
}

#endif
