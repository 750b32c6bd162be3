/* One fault in one system call of a program and of what it forks (ptrace(2)).
 *
 *   inject list FILE PROGRAM [ARG...]                 FILE: "TASK NUMBER OCCURRENCE A B" of each call in the window
 *   inject TASK NUMBER[:A] OCCURRENCE ERROR PROGRAM [ARG...]   that call fails with ERROR ("EINTR"), or "kill": SIGKILL there;
 *                                                   "EPERM+": each with this NUMBER does, of whatever task, as by a filter
 *
 * TASK counts the threads and processes in the order in which they came, the program itself is 0; OCCURRENCE counts the
 * calls with this NUMBER that it has made in the window, from 1. A and B are the first two arguments, "-" what is no
 * small number. The window: mark.h. What exec brings is outside until it says otherwise, so ld.so is.
 *
 * The call is not made; but a close is, and what it gives is replaced: close(2), "Linux kernel always releases the file
 * descriptor early". Prints "fault: done" when the fault has happened. Ends as the program does (128 + N by a signal).
 */
#include "mark.h"
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __x86_64__

enum { TASKS = 64, CALLS = 512 };

struct task {
    pid_t id;
    bool fresh, outside;
    int error; /* what the call that is under way is to give */
    int calls[CALLS];
};

static struct task tasks[TASKS];
static int count;
static bool window;
static FILE *list;
static struct {
    int task, number, occurrence, error; /* error 0: kill */
    const char *first;                   /* ":A", or empty: whatever it is */
    bool ever, done;
} fault;

static struct task *task_of(pid_t id)
{
    for (int i = 0; i < count; i++)
        if (tasks[i].id == id)
            return &tasks[i];
    if (count == TASKS)
        errx(1, "more than %d tasks", TASKS);
    tasks[count] = (struct task){.id = id, .fresh = true};
    return &tasks[count++];
}

static void poke(pid_t id, size_t where, long value)
{
    if (ptrace(PTRACE_POKEUSER, id, where, value) < 0 && errno != ESRCH)
        err(1, "PTRACE_POKEUSER");
}

static void small(unsigned long long argument)
{
    if (argument < 65536)
        fprintf(list, " %d", (int)argument);
    else
        fprintf(list, " -");
}

static void entry(struct task *t, const struct __ptrace_syscall_info *info)
{
    unsigned number = (unsigned)info->entry.nr;
    int task = (int)(t - tasks);
    if (number == SYS_getpriority && info->entry.args[0] == MARK) {
        t->outside = info->entry.args[1];
        window |= !t->outside;
        return;
    }
    if (!window || t->outside || number >= CALLS)
        return;
    t->calls[number]++;
    if (list) {
        fprintf(list, "%d %u %d", task, number, t->calls[number]);
        small(info->entry.args[0]);
        small(info->entry.args[1]);
        fputc('\n', list);
        return;
    }
    bool it = task == fault.task && t->calls[number] == fault.occurrence &&
              (!*fault.first || atoll(fault.first + 1) == (long long)info->entry.args[0]);
    if ((int)number != fault.number || !(it || fault.ever))
        return;
    if (!fault.done) {
        printf("fault: done\n");
        fflush(stdout);
    }
    fault.done = true;
    if (!fault.error)
        kill(t->id, SIGKILL);
    else if (number != SYS_close)
        poke(t->id, offsetof(struct user_regs_struct, orig_rax), -1);
    t->error = fault.error;
}

static void system_call(struct task *t)
{
    struct __ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, t->id, sizeof info, &info) < 0)
        return; /* it has been killed */
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
        entry(t, &info);
    else if (info.op == PTRACE_SYSCALL_INFO_EXIT && t->error) {
        poke(t->id, offsetof(struct user_regs_struct, rax), -t->error);
        t->error = 0;
    }
}

static int follow(pid_t program)
{
    int status, result = 1;
    pid_t id;
    while ((id = waitpid(-1, &status, __WALL)) > 0) {
        struct task *t = task_of(id);
        if (!WIFSTOPPED(status)) {
            if (id == program)
                result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            t->id = 0;
            continue;
        }
        int signal = WSTOPSIG(status), event = status >> 16;
        if (signal == (SIGTRAP | 0x80))
            system_call(t);
        else if (event == PTRACE_EVENT_EXEC)
            t->outside = true;
        bool own = signal == (SIGTRAP | 0x80) || event || (signal == SIGSTOP && t->fresh);
        if (signal == SIGSTOP)
            t->fresh = false;
        ptrace(PTRACE_SYSCALL, id, 0, own ? 0 : signal);
    }
    return result;
}

static int error_of(const char *name)
{
    for (int e = 1; e < 256; e++)
        if (strerrorname_np(e) && !strcmp(strerrorname_np(e), name))
            return e;
    if (strcmp(name, "kill"))
        errx(2, "'%s' is no error's name, nor 'kill'", name);
    return 0;
}

int main(int argc, char **argv)
{
    bool lists = argc > 3 && !strcmp(argv[1], "list");
    if (argc < (lists ? 4 : 6))
        errx(2, "usage: inject list FILE PROGRAM [ARG...] | inject TASK NUMBER OCCURRENCE ERROR PROGRAM [ARG...]");
    char **program = argv + (lists ? 3 : 5);
    if (lists && !(list = fopen(argv[2], "we")))
        err(1, "%s", argv[2]);
    if (!lists) {
        fault.task = atoi(argv[1]);
        fault.number = (int)strtol(argv[2], (char **)&fault.first, 10);
        fault.occurrence = atoi(argv[3]);
        fault.ever = strchr(argv[4], '+');
        fault.error = error_of(strtok(argv[4], "+"));
    }
    pid_t id = fork();
    if (id == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        execvp(*program, program);
        err(127, "%s", *program);
    }
    int status;
    if (id < 0 || waitpid(id, &status, 0) < 0 ||
        ptrace(PTRACE_SETOPTIONS, id, 0,
               PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                   PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC) < 0)
        err(77, "ptrace");
    task_of(id)->fresh = false;
    ptrace(PTRACE_SYSCALL, id, 0, 0);
    return follow(id);
}

#else
int main(void)
{
    warnx("the result of a system call can be replaced on x86-64 only");
    return 77;
}
#endif
