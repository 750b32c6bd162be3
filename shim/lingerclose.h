/*
 * lingerclose: what the files of the shim know of each other.
 *
 * Data flows one way: hooks -> letgo (the four steps) -> descriptors, verdict, holders -> linger; report hears from all
 * and tells only the log, the counters and the probes. One file knows dlsym (next.c), one the environment (settings.c), one
 * the memory that a family of forked processes shares (family.c).
 *
 * Invariants. Doubt ends in the real call and nothing else. On the way of a close there is no heap, no lock and no
 * stdio: system calls and our own memory only, so that it may happen in a signal handler (but for the making of the
 * background thread: background.c). What we remember
 * of a descriptor is a hint: it never allows more than the kernel's own answer does. A process that does not own
 * its memory (a vfork child, a fork that nobody noticed: owner.c) changes nothing of ours. Times are nanoseconds of CLOCK_MONOTONIC,
 * sizes are bytes, a descriptor that does not exist is -1.
 */
#ifndef LINGERCLOSE_H
#define LINGERCLOSE_H

#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>

#define HIDDEN __attribute__((visibility("hidden")))
#define EXPORT __attribute__((visibility("default")))
/* Takes more arguments than it may have been given, as libc's own does: what is beyond them goes nowhere. */
#define MAY_READ_MORE __attribute__((no_sanitize_address))

struct epoll_event;
struct mmsghdr;
#if __TIMESIZE == 32 /* time_t has 32 bits but with _TIME_BITS=64: glibc exports this, and declares it nowhere */
int __recvmmsg64(int, struct mmsghdr *, unsigned, int, void *);
#endif

/* next.c: the definitions that we stand in front of; before the constructor the bare system calls */
struct next {
    int (*close)(int);
    int (*socket)(int, int, int);
    int (*accept)(int, struct sockaddr *, socklen_t *);
    int (*accept4)(int, struct sockaddr *, socklen_t *, int);
    int (*connect)(int, const struct sockaddr *, socklen_t);
    int (*listen)(int, int);
    int (*shutdown)(int, int);
    int (*setsockopt)(int, int, int, const void *, socklen_t);
    int (*dup)(int);
    int (*dup2)(int, int);
    int (*dup3)(int, int, int);
    int (*fcntl)(int, int, ...);
    int (*fcntl64)(int, int, ...);
    int (*epoll_create)(int);
    int (*epoll_create1)(int);
    int (*epoll_ctl)(int, int, int, struct epoll_event *);
    ssize_t (*sendmsg)(int, const struct msghdr *, int);
    ssize_t (*recvmsg)(int, struct msghdr *, int);
    int (*sendmmsg)(int, struct mmsghdr *, unsigned, int);
    int (*recvmmsg)(int, struct mmsghdr *, unsigned, int, struct timespec *);
#if __TIMESIZE == 32
    ssize_t (*recvmsg64)(int, struct msghdr *, int);
    int (*recvmmsg64)(int, struct mmsghdr *, unsigned, int, void *);
#endif
    long (*syscall)(long, ...);
    int (*execveat)(int, const char *, char *const[], char *const[], int);
    int (*pidfd_getfd)(int, int, unsigned);
    void (*_exit)(int);
    int (*clock_gettime)(clockid_t, struct timespec *); /* libc's own, whoever else has one */
    /* these have no bare system call: next_bind() first */
    pid_t (*fork)(void);
    pid_t (*_Fork)(void);
    int (*clone)(int (*)(void *), void *, int, void *, ...);
    int (*execve)(const char *, char *const[], char *const[]);
    int (*execv)(const char *, char *const[]);
    int (*execvp)(const char *, char *const[]);
    int (*execvpe)(const char *, char *const[], char *const[]);
    int (*fexecve)(int, char *const[], char *const[]);
    int (*posix_spawn)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
                       char *const[], char *const[]);
    int (*posix_spawnp)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
                        char *const[], char *const[]);
    int (*system)(const char *);
    FILE *(*popen)(const char *, const char *);
    int (*pclose)(FILE *);
    int (*daemon)(int, int);
    int (*fclose)(FILE *);
    FILE *(*freopen)(const char *, const char *, FILE *);
    FILE *(*freopen64)(const char *, const char *, FILE *);
    int (*close_range)(unsigned, unsigned, int);
    void (*closefrom)(int);
    int (*prctl)(int, ...);
    int (*unshare)(int);
    int (*setns)(int, int);
};
extern struct next next HIDDEN;
int pidfd_getfd(int pidfd, int fd, unsigned int flags); /* <sys/pidfd.h>, since glibc 2.36 */
extern pid_t (*next_vfork)(void) HIDDEN;                /* vfork in bare.S jumps through it */
void next_bind(void) HIDDEN;
void next_bind_clock(void) HIDDEN;
long bare_syscall(long number, ...) HIDDEN; /* bare.S: syscall(2), past every hook, ours too */
int bare_close(int fd) HIDDEN;

/* config.c */
enum { STEP_LINGER = 1, STEP_SHUTDOWN = 2, STEP_DRAIN = 4 };
enum { ROLE_ACCEPTED = 1, ROLE_CONNECTED = 2 };
enum { FAMILY_TCP = 1, FAMILY_UNIX = 2 };
enum mode { MODE_AUTO, MODE_SYNC, MODE_BACKGROUND };
enum when { WHEN_ALWAYS, WHEN_PENDING };
enum abort_policy { ABORT_KEEP, ABORT_LINGER };

#define PORT_RANGES 64
#define STATS_PATH_MOST 200
#define UNLIMITED UINT64_MAX

struct config {
    bool on;
    unsigned mode, when, abort;
    unsigned shutdown;
    unsigned nodelay, cork;            /* for liblingerclose-nagle.so (nagle/) */
    unsigned steps, roles, families;   /* sets of STEP_, ROLE_ and FAMILY_ */
    int64_t linger, drain, idle, exit; /* ns */
    uint64_t drain_bytes[3];           /* by role */
    unsigned max;                      /* connections lingering at once */
    unsigned port_ranges;              /* 0: every port */
    struct {
        uint16_t first, last;
    } ports[PORT_RANGES];
    const char *log;   /* NULL, "stderr", "syslog", "journal" or a path */
    const char *stats; /* NULL or a directory's path */
};
extern struct config config HIDDEN;
void config_read(void) HIDDEN;

/* settings.c: the environment, and the file that stands in for it */
#define SETTINGS_FILE "/etc/lingerclose.conf"
const char *setting(const char *name) HIDDEN;
const char *setting_name(unsigned i) HIDDEN;
unsigned setting_line(const char *name) HIDDEN;
void settings_unknown(void) HIDDEN;
const char *setting_journal_stream(void) HIDDEN;

/* descriptors.c: what we know of each descriptor of this process */
enum set {
    KNOWN,           /* a TCP socket, as far as we saw; the others tell more of it: */
    CONNECTED,       /* opened by the program itself; otherwise accepted, or given to it */
    DUPED,           /* has, or had, more than one number in this process */
    DEAF,            /* the program did SHUT_RD */
    SHARED,          /* came from elsewhere, or was passed on */
    EPOLL_ELSEWHERE, /* an epoll set knows it by a number that is gone */
    CLOSING,         /* on its way out, in some thread; after the others: see holders_sibling() */
    PARKED,          /* ours: a connection that lingers */
    PARKING,         /* about to be, or just no more: a child forked meanwhile may have it */
    NEWCOMER,        /* ours: lingers, and the thread that naps has not heard of it */
    OURS,            /* ours: the log */
    EPOLLS,          /* an epoll descriptor */
    LISTENS,         /* a listener, or was one */
    SETS
};

struct descriptor {
    _Atomic uint64_t cookie; /* SO_COOKIE, once it has been asked for */
    _Atomic uint32_t born;   /* the process's last sharing event before it came: holders.c */
    _Atomic int epoll;       /* the epoll descriptor that it was added to, or one of: */
};
enum { EPOLL_NONE = 0, EPOLL_MANY = -1 };
#define UNBORN UINT32_MAX /* it has just come: no sharing was later */

#define MOST_DESCRIPTORS (1 << 20) /* fs.nr_open's default: what lies above is not followed, and closed plainly */
void descriptors_init(void) HIDDEN;
int descriptors_end(void) HIDDEN;
struct descriptor *descriptor(int fd) HIDDEN; /* NULL beyond the table */
bool set_has(enum set, int fd) HIDDEN;
void set_put(enum set, int fd) HIDDEN;
void set_drop(enum set, int fd) HIDDEN;
bool set_take(enum set, int fd) HIDDEN;     /* true: it was not in the set */
bool set_take_out(enum set, int fd) HIDDEN; /* true: it was */
int set_next(enum set, int fd) HIDDEN;      /* the first member above fd, or -1 */
void descriptor_note(int fd, unsigned role, uint32_t born) HIDDEN;
uint32_t descriptor_notes(void) HIDDEN;
void descriptor_forget(int fd) HIDDEN;
void descriptor_duped(int from, int to) HIDDEN;
struct moves {
    uint32_t over, begun;
};
void descriptor_moves(void) HIDDEN; /* before a dup or a close, and after it: */
void descriptor_moved(void) HIDDEN;
struct moves descriptor_moves_now(void) HIDDEN;
bool descriptors_stood_still(struct moves before) HIDDEN;
void descriptors_forked(void) HIDDEN;
void descriptor_epoll(int epfd, int fd) HIDDEN;
void descriptor_unepoll(int fd, int flags) HIDDEN;
int descriptor_unmarked(int fd) HIDDEN; /* the first number from fd on that we know nothing of */
int descriptor_peak(void) HIDDEN;

/* parking.c: our own descriptors */
int parking_limit(bool again) HIDDEN;
int parking_out_of_the_way(int fd, enum set) HIDDEN;
int parking_nearby(int fd) HIDDEN;
struct lingering *parking_away(struct lingering *) HIDDEN;
unsigned parking_spare(void) HIDDEN;
void parking_make_room(int fd) HIDDEN;
void parking_fork_begins(void) HIDDEN;
void parking_fork_over(void) HIDDEN;
void parking_end_all(void) HIDDEN;
void parking_leave_table(void) HIDDEN;
bool parking_give_up(int fd) HIDDEN;
void parking_end(int parked) HIDDEN;

/* verdict.c: may this descriptor linger? */
enum why {
    WHY_ALWAYS,
    WHY_PENDING,
    WHY_MAX,
    WHY_ABORT,
    WHY_ROLE,
    WHY_PORT,
    WHY_IDLE,
    WHY_FINISHED,
    WHY_HELD,
    WHY_EPOLL,
    WHYS
};
enum { LIVE = 1, WE_FINISHED = 2, PEER_FINISHED = 4, MAYBE_FINISHED = 8 }; /* who has sent FIN */
int verdict_live(int fd) HIDDEN;                                           /* 0: there is nothing to lose */
bool verdict_socket(int fd) HIDDEN;
bool verdict_listens(int fd) HIDDEN;
bool verdict_both_ends(int fd) HIDDEN;
bool verdict_pending(int fd) HIDDEN;
void verdict_linger_set(void) HIDDEN;
enum why verdict_rules(int fd, unsigned role, bool *own) HIDDEN;
bool verdict_lingers(enum why) HIDDEN;
const char *verdict_name(enum why) HIDDEN;

/* owner.c: is this the process whose memory this is? */
void owner_begin(void) HIDDEN;
void owner_shares_memory(void) HIDDEN;
bool owned(void) HIDDEN;

/* holders.c, sharing.c (fork, exec, spawning), passing.c (SCM_RIGHTS): who else holds this connection? */
void holders_init(void) HIDDEN;
void holders_came(int fd) HIDDEN;
void holders_listens(int fd) HIDDEN;
void holders_connects(int fd) HIDDEN;
bool holders_shared_before(void) HIDDEN;
int holders_sibling(int fd) HIDDEN;
bool holders_alone(int fd) HIDDEN;
void holders_deaf(int fd) HIDDEN;
bool holders_shared(int fd) HIDDEN;
bool holders_register(int fd) HIDDEN;
uint64_t holders_register_all(void) HIDDEN;
void holders_before_fork(void) HIDDEN;
bool holders_after_fork(pid_t result) HIDDEN;
void holders_fork_failed(void) HIDDEN;
void holders_before_vfork(void) HIDDEN;
void holders_before_exec(void) HIDDEN;
void holders_exec_failed(void) HIDDEN;
void holders_exit_vfork(void) HIDDEN;
struct birth {
    void *slot;
    uint32_t event;
};
struct birth holders_birth_of_child(void) HIDDEN;
void holders_child_runs(struct birth, bool vfork) HIDDEN;
void holders_child_gone(struct birth) HIDDEN;
void holders_give(void) HIDDEN;
void holders_take(int fd) HIDDEN;
void *holders_before_spawn(bool giver, bool cloexec_too) HIDDEN;
void holders_after_spawn(void *slot, pid_t child, uint64_t tag) HIDDEN;
void *holders_spawned(uint64_t tag) HIDDEN;
void holders_pass(int fd) HIDDEN;
void holders_not_passed(int fd) HIDDEN;
void holders_receive(int fd, bool peeked) HIDDEN;
void holders_gone(int fd) HIDDEN;
void holders_sandboxed(void) HIDDEN;
void *holders_settling(int fd) HIDDEN;
void holders_settled(void *slot, int survivor) HIDDEN;

/* linger.c: the state machine of one lingering connection; knows nothing of hooks */
enum end {
    END_NONE,
    END_NOW,
    END_EOF,
    END_IDLE,
    END_LINGER,
    END_DRAIN,
    END_BYTES,
    END_ERROR,
    END_EXIT,
    END_MORE,
    ENDS = END_MORE
};
struct lingering {
    _Atomic int claim; /* who may touch it: CLAIM_ */
    int fd;            /* its parked number, or in place the program's own */
    int number;        /* what the program called it */
    int moved;         /* where it went when its number was given up */
    int after, before; /* in the crowd's wheel: numbers of other entries, or -1; the crowd's own, like these two: */
    uint16_t spoke;
    _Atomic uint16_t era;
    _Atomic uint16_t crowd; /* the era of the crowd that it is in, or 0 */
    uint8_t role, why;
    bool deaf;           /* the program did SHUT_RD: see linger.c */
    bool own;            /* it has set SO_LINGER itself */
    bool finishing;      /* our FIN is out */
    int64_t began;       /* every bound counts from here */
    int64_t quiet_since; /* the last input, or our data's acknowledgement */
    uint64_t discarded;
};
enum { CLAIM_NONE, CLAIM_FREE, CLAIM_TAKEN };
_Static_assert(sizeof(struct lingering) <= 64, "a lingering connection costs at most 64 bytes");

struct lingering *lingering_at(int fd) HIDDEN; /* descriptors.c has the table; NULL beyond it */
void linger_prepare(struct lingering *, int fd, unsigned role) HIDDEN;
void linger_move(struct lingering *to, const struct lingering *from, int fd) HIDDEN;
enum end linger_discard(struct lingering *, bool all) HIDDEN;
void linger_begin(struct lingering *) HIDDEN;
enum end linger_step(struct lingering *, bool all, int64_t *next) HIDDEN;
enum end linger_sync(struct lingering **, int64_t until) HIDDEN;
struct lingering *linger_claim(struct lingering *) HIDDEN;
void linger_release(struct lingering *) HIDDEN;
enum end linger_now(struct lingering *) HIDDEN;
void linger_headers_only(int fd) HIDDEN;
enum end linger_bound(struct lingering *, int64_t t, int64_t *next) HIDDEN;
const char *linger_end_name(enum end) HIDDEN;
int64_t now(void) HIDDEN;
void doze(int64_t us) HIDDEN;

/* shutdown.c */
bool linger_shutdown(struct lingering *, int64_t until, bool keep) HIDDEN;

/* crowd.c: many lingering connections at once, in one thread */
#define SPOKES 1024 /* of the wheel of deadlines */
struct crowd {
    _Atomic int epfd;
    uint16_t era; /* which crowd a member's links belong to */
    _Atomic bool stop, napping;
    _Atomic unsigned members;
    void (*done)(struct lingering *, enum end);
    long pause;     /* ns after each look: what happens meanwhile wakes nobody */
    int64_t turned; /* the last spoke that was looked at, in ticks of the clock */
    int wheel[SPOKES];
};
bool crowd_open(struct crowd *, void (*done)(struct lingering *, enum end)) HIDDEN;
bool crowd_add(struct crowd *, struct lingering *) HIDDEN;
void crowd_left(struct crowd *) HIDDEN;
void crowd_forget(struct crowd *) HIDDEN;
bool crowd_run(struct crowd *, int64_t until) HIDDEN;
void crowd_forked(void) HIDDEN;
void crowd_end(struct crowd *, enum set in, enum end) HIDDEN;

/* background.c: the thread */
bool background_take(struct lingering *) HIDDEN;
bool background_yield(void) HIDDEN;
bool background_has(const struct lingering *) HIDDEN;
void background_moved(int from, struct lingering *) HIDDEN;
void background_forked(void) HIDDEN;
void background_wait(int64_t until) HIDDEN;
void background_exec(void) HIDDEN;
void background_exec_failed(void) HIDDEN;
void background_stop(void) HIDDEN;
bool background_give_up(int fd) HIDDEN;

/* letgo.c: look, park, close, linger around one real call */
struct letgo {
    enum { LETGO_NOTHING, LETGO_PLAIN, LETGO_STAYS, LETGO_LINGERS } what;
    bool freed; /* the real call frees the number; otherwise it puts another file under it */
    int fd, live, flags, survivor, cancel;
    enum why why;
    enum end end;
    const char *how;
    void *slot;
    struct crowd *together;                /* where it waits with others, if it waits */
    struct lingering *lingering, in_place; /* the first: where its parked number is in the table, or NULL */
};
int letgo_wanted(int fd) HIDDEN; /* as verdict_live, if it is for us to decide */
bool letgo_begin(struct letgo *, int fd, const char *how, bool freed) HIDDEN; /* false: the number is ours */
bool letgo_begin_with(struct letgo *, int fd, const char *how, struct crowd *together) HIDDEN;
int letgo_end(struct letgo *, int result) HIDDEN;
bool letgo_give_up(int fd) HIDDEN;
void letgo_forked(void) HIDDEN;
void letgo_finish(struct lingering *, enum end) HIDDEN;

/* leave.c: many at once */
void leave_range(unsigned first, unsigned last, const char *how) HIDDEN;
void leave_process(const char *how) HIDDEN;
bool leave_shutdown(int fd, int how) HIDDEN;

/* hooks*.c, for each other */
void after_fork(pid_t result) HIDDEN;
void ends_by_exit(int status, void *) HIDDEN;
void ends_by_quick_exit(void) HIDDEN;
void stdio_flush(void) HIDDEN;
void sandboxed(void) HIDDEN;

/* report.c; it uses line.c and log.c (log.h) and stats.c (stats.h) */
void report_init(void) HIDDEN;
const char *report_program(void) HIDDEN;
void report_connection(int fd, const char *how) HIDDEN;
void report_moved(int from, int to) HIDDEN;
bool report_has(int fd) HIDDEN; /* the log's number */
bool report_give_up(int fd) HIDDEN;
void report_begins(const struct lingering *) HIDDEN;
void report_letgo(const struct lingering *, enum end) HIDDEN;
void stats_forked(void) HIDDEN;
void stats_end(void) HIDDEN;

/* warnings.c */
void report_warning(const char *name, const char *value, const char *is_not, const char *accepted,
                    const char *holds) HIDDEN;
void report_file(const char *what, const char *detail) HIDDEN;
void report_line(unsigned line, const char *text, const char *is_not, const char *accepted) HIDDEN;

/* debug.c: random delays at the windows, and rules that can be switched off, for the tests (the debug build only) */
#ifdef LINGERCLOSE_DEBUG
void debug_init(void) HIDDEN;
void debug_window(void) HIDDEN;
bool debug_mutant(const char *name) HIDDEN;
#else
static inline void debug_init(void) {}
static inline void debug_window(void) {}
static inline bool debug_mutant(const char *name) { return (void)name, false; }
#endif

#endif
