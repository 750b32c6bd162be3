/* The control of tests/soak: loses a descriptor and 4 KB of memory for one accepted connection in eight. For each, redis
   would soon have numbers beyond its maxclients, whose connections it neither serves nor closes. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { LOST = 4096, ONE_IN = 8 };

static int lose(int connection)
{
    static atomic_uint accepted;
    char *lost = connection < 0 || ++accepted % ONE_IN ? NULL : malloc(LOST);
    if (lost)
        memset(lost, open("/dev/null", O_RDONLY | O_CLOEXEC), LOST);
    return connection;
}

int accept(int fd, struct sockaddr *address, socklen_t *length)
{
    int (*next)(int, struct sockaddr *, socklen_t *) = dlsym(RTLD_NEXT, "accept");
    return lose(next(fd, address, length));
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    int (*next)(int, struct sockaddr *, socklen_t *, int) = dlsym(RTLD_NEXT, "accept4");
    return lose(next(fd, address, length, flags));
}
