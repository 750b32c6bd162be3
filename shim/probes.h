/*
 * Static probes for bpftrace, perf and SystemTap (sys/sdt.h, if it is there at build time): a nop each and a note in the
 * file, `readelf -n build/liblingerclose.so`. Provider lingerclose:
 *
 *   close_seen(fd)                         a live connection is on its way out
 *   linger_begin(fd, reason)               it lingers; reason as the log's why=
 *   linger_end(fd, reason, bytes, ns)      that is over; reason as the log's end=, bytes discarded, ns since the begin
 *
 * fd is the program's number; reasons are strings. A tracer counts the semaphore of a probe up while it listens.
 */
#ifndef PROBES_H
#define PROBES_H

#include "lingerclose.h"

#if __has_include(<sys/sdt.h>)
#define _SDT_HAS_SEMAPHORES 1
#include <sys/sdt.h>

#define SEMAPHORE __attribute__((section(".probes"), used, visibility("hidden")))
SEMAPHORE volatile unsigned short lingerclose_close_seen_semaphore;
SEMAPHORE volatile unsigned short lingerclose_linger_begin_semaphore;
SEMAPHORE volatile unsigned short lingerclose_linger_end_semaphore;

static inline void probe_close_seen(int fd) { DTRACE_PROBE1(lingerclose, close_seen, fd); }

static inline void probe_linger_begin(int fd, const char *reason)
{
    DTRACE_PROBE2(lingerclose, linger_begin, fd, reason);
}

static inline bool probe_linger_end_watched(void) { return lingerclose_linger_end_semaphore; }

static inline void probe_linger_end(int fd, const char *reason, uint64_t bytes, int64_t ns)
{
    DTRACE_PROBE4(lingerclose, linger_end, fd, reason, bytes, ns);
}
#else
static inline void probe_close_seen(int fd) { (void)fd; }
static inline void probe_linger_begin(int fd, const char *reason) { (void)fd, (void)reason; }
static inline bool probe_linger_end_watched(void) { return false; }
static inline void probe_linger_end(int fd, const char *reason, uint64_t bytes, int64_t ns)
{
    (void)fd, (void)reason, (void)bytes, (void)ns;
}
#endif

#endif
