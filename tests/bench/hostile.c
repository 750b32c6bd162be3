/* What N hostile peers cost a server at most.
 *
 * hostile loop|exit|sync PEERS N LIMIT_MS [SHIM [NAME=VALUE...]]   starts a server that answers N connections and closes
 *     each, with these variables, and is its peers. The server: an event loop; one that ends with all of them open; one with
 *     blocking sockets. PEERS:
 *       silent    never close
 *       drip      send a byte every 200 ms
 *       flood     send as much as goes
 *       deaf      acknowledge nothing: their kernel drops what comes (socket(7), SO_ATTACH_FILTER)
 *       full      never read, with a small buffer: their window stays shut
 *     Prints of the server:
 *       closed_ms    until its last close returned (exit: until it was gone)
 *       gone_ms      from then until the last of its descriptors was closed
 *       left         connections that it still had LIMIT_MS later
 *       descriptors  the most that it had more than without connections, one of an epoll set among them
 *       threads      likewise
 *       anonymous    bytes of its memory, a connection, when all had been closed
 *       kernel       bytes of socket buffers, a connection (ss -m), likewise; -1: there is no ss
 *       cpu_ms       its processor time from then on, in all
 * hostile serve N REPLY loop|exit|sync   the server */
#include "../connection.h"
#include <fcntl.h>
#include <linux/filter.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { DRIP_MS = 200, STEP_MS = 5, SMALL = 4096 };

static bool is(const char *a, const char *b) { return !strcmp(a, b); }

static void raise_limit(void)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

static void serve(int n, int reply, const char *how)
{
    static char block[1 << 20];
    int *fds = calloc((size_t)n, sizeof *fds), fd = listener(AF_INET, 0, 0);
    raise_limit();
    for (int i = 0; i < n; i++) {
        fds[i] = accept4(fd, NULL, NULL, SOCK_CLOEXEC | (is(how, "sync") ? 0 : SOCK_NONBLOCK));
        await_input(fds[i]);
        if (recv(fds[i], block, 1, 0) != 1)
            err(1, "recv");
    }
    puts("accepted");
    await_line();
    for (int i = 0; i < n; i++) {
        if (send(fds[i], block, (size_t)reply, MSG_NOSIGNAL) != reply)
            err(1, "send");
        if (!is(how, "exit"))
            close(fds[i]);
    }
    if (is(how, "exit"))
        exit(0);
    puts("closed");
    await_line();
}

/* ---- what /proc tells of it ---- */

static int entries(pid_t pid, const char *what)
{
    char path[64];
    int n = -2;
    snprintf(path, sizeof path, "/proc/%d/%s", pid, what);
    DIR *dir = opendir(path);
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n < 0 ? 0 : n;
}

static long anonymous(pid_t pid)
{
    char path[64], line[256];
    long kb = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, "Anonymous:", 10))
            kb = atol(line + 10);
    if (file)
        fclose(file);
    return kb * 1024;
}

static long cpu_ms(pid_t pid)
{
    char path[64];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        user = system = 0;
    if (file)
        fclose(file);
    return (long)(user + system) * 1000 / sysconf(_SC_CLK_TCK);
}

/* ss(8): skmem:(r<received>,rb.,t<on its way out>,tb.,f<forward>,w<queued to send>,... */
static long kernel(int port)
{
    char command[128], line[1024], *at;
    long sum = -1, r, f, w;
    snprintf(command, sizeof command, "ss -tmnH 'sport = :%d' 2>/dev/null", port);
    FILE *ss = popen(command, "re");
    while (ss && fgets(line, sizeof line, ss))
        if ((at = strstr(line, "skmem:(")) && sscanf(at, "skmem:(r%ld,rb%*d,t%*d,tb%*d,f%ld,w%ld", &r, &f, &w) == 3)
            sum = (sum < 0 ? 0 : sum) + r + f + w;
    if (ss)
        pclose(ss);
    return sum;
}

/* ---- the peers ---- */

static void drop_everything(int fd)
{
    struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = {1, &nothing};
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program))
        err(1, "SO_ATTACH_FILTER");
}

static int connected(const char *peers, int port)
{
    struct sockaddr_storage address;
    socklen_t length = loopback(&address, AF_INET, port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = SMALL;
    if (is(peers, "full"))
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (fd < 0 || connect(fd, (void *)&address, length) || send(fd, "?", 1, 0) != 1)
        err(1, "connect");
    return fd;
}

static void pester(const char *peers, const int *fds, int n, long *last)
{
    static char block[65536];
    bool drips = is(peers, "drip") && now_ms() - *last >= DRIP_MS;
    if (drips)
        *last = now_ms();
    for (int i = 0; i < n && (drips || is(peers, "flood")); i++)
        (void)!send(fds[i], block, drips ? 1 : sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL);
}

struct seen {
    int descriptors, threads;
};

static int look(pid_t pid, int base, struct seen *most)
{
    int descriptors = entries(pid, "fd") - base, threads = entries(pid, "task") - 1;
    most->descriptors = descriptors > most->descriptors ? descriptors : most->descriptors;
    most->threads = threads > most->threads ? threads : most->threads;
    return descriptors;
}

static bool readable(int fd) { return poll(&(struct pollfd){fd, POLLIN, 0}, 1, STEP_MS) > 0; }

static pid_t start(const char *how, const char *n, const char *peers, const char *shim, FILE **from, int *to)
{
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
        err(1, "pipe");
    pid_t pid = fork();
    if (!pid) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        if (shim)
            setenv("LD_PRELOAD", shim, 1);
        execl("/proc/self/exe", "hostile", "serve", n, is(peers, "full") ? "65536" : "1000", how, NULL);
        err(127, "exec");
    }
    close(out[1]);
    *from = fdopen(out[0], "r");
    *to = in[1];
    setvbuf(*from, NULL, _IONBF, 0); /* poll is asked whether there is more */
    return pid;
}

static void measure(const char *how, const char *peers, const char *count, long limit, const char *shim)
{
    FILE *from;
    int to, port, n = atoi(count);
    char line[32];
    long last = 0, buffers = -1, memory, cpu, before, closed, end;
    struct seen most = {0, 0};
    pid_t pid = start(how, count, peers, shim, &from, &to);
    int *fds = calloc((size_t)n, sizeof *fds);
    if (!fds || !fgets(line, sizeof line, from) || sscanf(line, "port %d", &port) != 1)
        errx(1, "no port");
    for (int i = 0; i < n; i++)
        fds[i] = connected(peers, port);
    if (!fgets(line, sizeof line, from) || strcmp(line, "accepted\n"))
        errx(1, "the server has not accepted all");
    int base = entries(pid, "fd") - n;
    before = anonymous(pid);
    for (int i = 0; i < n && is(peers, "deaf"); i++)
        drop_everything(fds[i]);
    closed = now_ms();
    (void)!write(to, "\n", 1);
    while (!readable(fileno(from)))
        pester(peers, fds, n, &last);
    closed = now_ms() - closed;
    end = now_ms();
    cpu = cpu_ms(pid);
    memory = (anonymous(pid) - before) / n;
    if (is(how, "loop"))
        buffers = kernel(port);
    while (look(pid, base, &most) > 1 && now_ms() - end < limit) {
        pester(peers, fds, n, &last);
        poll(NULL, 0, STEP_MS);
    }
    end = now_ms() - end;
    int left = look(pid, base, &most) - 1;
    printf("closed_ms=%ld gone_ms=%ld left=%d descriptors=%d threads=%d anonymous=%ld kernel=%ld cpu_ms=%ld\n", closed,
           end, left > 0 ? left : 0, most.descriptors, most.threads, memory, buffers < 0 ? buffers : buffers / n,
           cpu_ms(pid) - cpu);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
    static const char *const known[] = {"silent", "drip", "flood", "deaf", "full"};
    raise_limit();
    if (argc == 5 && is(argv[1], "serve")) {
        serve(atoi(argv[2]), atoi(argv[3]), argv[4]);
        return 0;
    }
    for (int i = 0; argc >= 5 && i < 5; i++)
        if (is(argv[2], known[i])) {
            for (int j = 6; j < argc; j++)
                putenv(argv[j]);
            measure(argv[1], argv[2], argv[3], atol(argv[4]), argc > 5 ? argv[5] : NULL);
            return 0;
        }
    errx(2, "usage: hostile loop|exit|sync silent|drip|flood|deaf|full N LIMIT_MS [SHIM [NAME=VALUE...]]");
}
