/*
 * The page of counters of this process: stats.h tells what it holds and where it is. An event costs an atomic addition
 * to shared memory, and nothing where nobody asked (LINGERCLOSE_STATS).
 *
 * The constructor makes it, while the program may still write to the directory. A forked child counts in its parent's
 * until its first event and makes its own then, so that a fork costs nothing: system calls only, no matter in which
 * handler. The mapping keeps no descriptor.
 *
 * Anybody may have put anything into the directory: nothing is opened through a symbolic link, no file is taken for a
 * page that is not our own user's, and none is made unless that user is all that this process is (getresuid(2)): who may
 * cut a file short could kill us by that (SIGBUS), which he must be able to do by kill(2) already.
 */
#include "stats.h"
#include "log.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static char directory[STATS_PATH_MOST + 1]; /* programs overwrite their environment: setproctitle(3) */
static struct stats *page;                  /* always at the same place, whosever it is */
static struct stat64 page_file;
static char page_path[STATS_PATH_MOST + 32];
static _Atomic int whose;
enum { NOBODYS, OWN, INHERITED, MAKING, PARENTS };

static void add(unsigned i, uint64_t n) { atomic_fetch_add_explicit(&page->count[i], n, memory_order_relaxed); }

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t = {0};
    clock_gettime(clock, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static uint64_t pid_namespace(void)
{
    struct stat64 s;
    return stat64("/proc/self/ns/pid", &s) ? 0 : s.st_ino;
}

/* Real, effective and saved: one and the same. */
static bool one_user(void)
{
    uid_t real, effective, saved;
    return !getresuid(&real, &effective, &saved) && real == effective && effective == saved;
}

/* ---- files: each under a number out of the program's way, for as long as it is open ---- */

static int open_file(const char *path, int flags)
{
    flags |= O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int fd = (int)bare_syscall(SYS_openat, AT_FDCWD, path, flags, 0644);
    int high = fd < 0 ? -1 : parking_out_of_the_way(fd, OURS);
    if (fd >= 0)
        bare_close(fd);
    return high;
}

static void close_file(int fd)
{
    bare_close(fd);
    set_drop(OURS, fd);
}

/* at: what to map it over, or NULL. What is written has its blocks: an addition to the map cannot lack one (SIGBUS). */
static struct stats *make_page(const char *path, const struct stats *first, void *at, struct stat64 *file)
{
    struct rlimit limit;
    if (!one_user() || (!getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur < sizeof *first)) /* SIGXFSZ */
        return NULL;
    int fd = open_file(path, O_RDWR | O_CREAT | O_EXCL);
    void *map = MAP_FAILED;
    if (fd < 0)
        return NULL;
    if (bare_syscall(SYS_write, fd, first, sizeof *first) == sizeof *first && !fstat64(fd, file))
        map = mmap(at, sizeof *first, PROT_READ | PROT_WRITE, MAP_SHARED | (at ? MAP_FIXED : 0), fd, 0);
    if (map == MAP_FAILED)
        unlink(path);
    close_file(fd);
    return map == MAP_FAILED ? NULL : map;
}

/* A page that is there already, and our own user's. */
static struct stats *map_page(const char *path)
{
    struct stat64 s;
    int fd = one_user() ? open_file(path, O_RDWR) : -1;
    void *map = MAP_FAILED;
    if (fd < 0)
        return NULL;
    if (!fstat64(fd, &s) && S_ISREG(s.st_mode) && s.st_uid == geteuid() && s.st_size == sizeof(struct stats))
        map = mmap(NULL, sizeof(struct stats), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close_file(fd);
    if (map == MAP_FAILED)
        return NULL;
    if (((struct stats *)map)->magic == STATS_MAGIC)
        return map;
    munmap(map, sizeof(struct stats));
    return NULL;
}

static void describe(struct stats *s, pid_t pid, const char *program)
{
    *s = (struct stats){.magic = STATS_MAGIC, .version = VERSION, .pid = pid};
    strncpy(s->program, program, sizeof s->program - 1);
    s->pid_namespace = pid_namespace();
    s->realtime = clock_ns(CLOCK_REALTIME);
    s->boottime = clock_ns(CLOCK_BOOTTIME);
    s->count[STAT_PROCESSES] = pid != 0;
    s->config.mode = config.mode;
    s->config.steps = config.steps;
    s->config.roles = config.roles;
    s->config.families = config.families;
    s->config.when = config.when;
    s->config.abort = config.abort;
    s->config.shutdown = config.shutdown;
    s->config.max = config.max;
    s->config.ports = config.port_ranges;
    s->config.log = config.log != NULL;
    s->config.linger = config.linger;
    s->config.drain = config.drain;
    s->config.idle = config.idle;
    s->config.exit = config.exit;
    s->config.drain_bytes[0] = config.drain_bytes[ROLE_ACCEPTED];
    s->config.drain_bytes[1] = config.drain_bytes[ROLE_CONNECTED];
}

/* ---- the sum of those that have ended ---- */

static void put_path(struct line *l, const char *name, uint64_t number)
{
    put(l, directory);
    put(l, "/");
    put(l, name);
    put_number(l, number, 0);
}

static struct stats *sum_page(const struct stats *over)
{
    struct line path = {0};
    struct stats first;
    struct stat64 file;
    put_path(&path, "ended.", geteuid());
    put(&path, ".");
    for (const char *s = over->program; *s && s < over->program + sizeof over->program - 1; s++)
        put(&path, (char[]){*s <= ' ' || *s == '/' || *s == 127 ? '_' : *s, 0});
    describe(&first, 0, over->program);
    struct stats *sum = make_page(path.text, &first, NULL, &file);
    return sum ? sum : map_page(path.text);
}

/* A page whose process is over goes into the sum; where it cannot be removed it stays as it is, for the reader. */
static void sum_up(const char *path, const struct stats *over)
{
    uint64_t any = 0;
    for (unsigned i = STAT_LINGERED; i < STATS; i++)
        any |= over->count[i];
    struct stats *sum = any ? sum_page(over) : NULL;
    if ((any && !sum) || unlink(path)) {
        if (sum)
            munmap(sum, sizeof *sum);
        return;
    }
    for (unsigned i = 0; sum && i < STATS; i++)
        atomic_fetch_add_explicit(&sum->count[i], over->count[i], memory_order_relaxed);
    if (sum)
        munmap(sum, sizeof *sum);
}

/* ---- our own ---- */

/* Of another layout, perhaps. */
static bool was_page(const char *path)
{
    uint64_t magic = 0;
    int fd = one_user() ? open_file(path, O_RDONLY) : -1;
    if (fd < 0)
        return false;
    bool page = bare_syscall(SYS_read, fd, &magic, sizeof magic) == sizeof magic && (magic ^ STATS_MAGIC) <= 0xff;
    close_file(fd);
    return page;
}

/* What has our number in our namespace was another process's before us, or this one's before exec. Any other file stays. */
static void take_over(const char *path)
{
    struct stats *old = map_page(path);
    if (!old && was_page(path))
        unlink(path);
    if (old && old->pid_namespace == pid_namespace())
        sum_up(path, old);
    if (old)
        munmap(old, sizeof *old);
}

/* over: our parent's page, in whose place it comes, or NULL */
static struct stats *make_own(struct stats *over)
{
    struct stats first, *made = NULL;
    describe(&first, getpid(), report_program());
    if (over && (first.pid_namespace == 0 || first.pid_namespace != over->pid_namespace))
        return NULL; /* its number, or its root directory, is not what the reader knows */
    for (int by_user = 0; by_user <= 1 && !made; by_user++) {
        struct line path = {0};
        put_path(&path, "", (uint64_t)getpid());
        if (by_user) {
            put(&path, ".");
            put_number(&path, geteuid(), 0);
        }
        take_over(path.text);
        made = make_page(path.text, &first, over, &page_file);
        if (made)
            memcpy(page_path, path.text, sizeof page_path);
    }
    return made;
}

/* The constructor's. */
void stats_init(void)
{
    if (!config.stats)
        return;
    memcpy(directory, config.stats, strlen(config.stats));
    page = make_own(NULL);
    whose = page ? OWN : NOBODYS;
    if (!page && one_user()) /* a setuid program has none, and no word about it */
        report_warning("LINGERCLOSE_STATS", config.stats, "a directory in which this process can make a file",
                       "off, or the path of a directory, which starts with /", "off");
}

bool stats_kept(void) { return page; }

/* In a forked child. */
void stats_forked(void)
{
    if (page)
        whose = INHERITED;
}

static void want_own(void)
{
    int inherited = INHERITED;
    if (whose == INHERITED && atomic_compare_exchange_strong(&whose, &inherited, MAKING))
        whose = make_own(page) ? OWN : PARENTS;
}

/* ---- events ---- */

void stats_begins(void)
{
    if (!page)
        return;
    want_own();
    add(STAT_LINGERED, 1);
    atomic_fetch_add_explicit(&page->lingering, 1, memory_order_relaxed);
}

void stats_letgo(const struct lingering *l, enum end end, int64_t ns)
{
    if (!page)
        return;
    want_own();
    add(STAT_DECIDED + l->why, 1);
    if (!verdict_lingers(l->why))
        return;
    atomic_fetch_sub_explicit(&page->lingering, 1, memory_order_relaxed);
    add(STAT_ENDED + end, 1);
    add(STAT_WAITED, (uint64_t)ns);
    add(STAT_WAITS + stats_wait(ns), 1);
    if (l->discarded)
        add(STAT_DISCARDED, l->discarded);
    if (l->discarded && (end == END_EOF || end == END_IDLE))
        add(STAT_AVOIDED, 1);
}

void stats_dropped(void)
{
    if (page)
        add(STAT_DROPPED, 1);
}

/* The process ends in good order. The path may lead elsewhere by now (chroot). */
void stats_end(void)
{
    struct stat64 s;
    int own = OWN;
    if (page && owned() && atomic_compare_exchange_strong(&whose, &own, PARENTS) && !lstat64(page_path, &s) &&
        s.st_dev == page_file.st_dev && s.st_ino == page_file.st_ino)
        sum_up(page_path, page);
}
