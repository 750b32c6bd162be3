/*
 * stdio's ways: inside libc fclose and freopen reach no hooked close. A stream is flushed first, while its connection
 * still takes data; a flush that fails or waits does so as it would have. Streams without a descriptor pass through.
 */
#include "lingerclose.h"

#include <errno.h>
#include <stdio_ext.h>

/* The stream's connection, or -1. */
static int connection_of(FILE *stream)
{
    int saved = errno;
    int fd = config.on && stream ? fileno(stream) : -1;
    errno = saved;
    return fd >= 0 && letgo_wanted(fd) ? fd : -1;
}

EXPORT int fclose(FILE *stream)
{
    struct letgo l = {.what = LETGO_NOTHING};
    next_bind();
    void *child =
        config.on ? holders_spawned((uint64_t)(uintptr_t)stream) : NULL; /* popen's stream, closed by fclose */
    int before = errno, fd = connection_of(stream), failed = fd >= 0 ? fflush(stream) : 0, error = errno;
    errno = before;                         /* of a stream that is read, fflush tries to seek */
    if (fd >= 0 && __fpending(stream) == 0) /* what is left would meet EPIPE after FIN */
        letgo_begin(&l, fd, "fclose", true);
    int result = letgo_end(&l, next.fclose(stream));
    holders_after_spawn(child, 0, 0);
    if (failed) /* glibc forgets what a second flush does not find again */
        errno = error;
    return failed ? EOF : result;
}

static FILE *reopen(FILE *(*real)(const char *, const char *, FILE *), const char *path, const char *mode, FILE *stream)
{
    struct letgo l = {.what = LETGO_NOTHING};
    int before = errno, fd = connection_of(stream);
    if (fd >= 0 && !fflush(stream))
        letgo_begin(&l, fd, "freopen", true);
    errno = before;
    FILE *result = real(path, mode, stream);
    letgo_end(&l, 0);
    return result;
}

EXPORT FILE *freopen(const char *path, const char *mode, FILE *stream)
{
    next_bind();
    return reopen(next.freopen, path, mode, stream);
}

EXPORT FILE *freopen64(const char *path, const char *mode, FILE *stream)
{
    next_bind();
    return reopen(next.freopen64, path, mode, stream);
}

/* libio's list of open streams: exported by glibc since 2.2, declared nowhere. */
typedef void *stream_iterator;
extern stream_iterator _IO_iter_begin(void) __attribute__((weak));
extern stream_iterator _IO_iter_end(void) __attribute__((weak));
extern stream_iterator _IO_iter_next(stream_iterator) __attribute__((weak));
extern FILE *_IO_iter_file(stream_iterator) __attribute__((weak));
extern void _IO_list_lock(void) __attribute__((weak)); /* recursive */
extern void _IO_list_unlock(void) __attribute__((weak));

/*
 * exit(3) flushes the streams after everything of ours has run, and a flush after FIN would be EPIPE. So those that are
 * connections are flushed here. fflush(NULL) would wait for the lock of a stream that another thread is reading, for
 * ever; what is locked keeps its connection untouched instead.
 */
void stdio_flush(void)
{
    if (!_IO_iter_begin || !_IO_iter_end || !_IO_iter_next || !_IO_iter_file || !_IO_list_lock || !_IO_list_unlock)
        return;
    _IO_list_lock();
    for (stream_iterator i = _IO_iter_begin(); i != _IO_iter_end(); i = _IO_iter_next(i)) {
        FILE *stream = _IO_iter_file(i);
        int fd = stream->_fileno;
        if (fd < 0 || !letgo_wanted(fd))
            continue;
        if (ftrylockfile(stream)) {
            descriptor_forget(fd);
            continue;
        }
        fflush_unlocked(stream);
        funlockfile(stream);
    }
    _IO_list_unlock();
}

EXPORT int _IO_fclose(FILE *) __attribute__((alias("fclose"))); /* glibc's other name for it */
