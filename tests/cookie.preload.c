/* SO_COOKIE for programs under qemu-user, which (7.2) does not pass it on: a socket's inode number is as good here. */
#include <dlfcn.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
    static int (*next)(int, int, int, void *, socklen_t *);
    struct stat s;
    if (level == SOL_SOCKET && name == SO_COOKIE && *length == sizeof(uint64_t) && !fstat(fd, &s) &&
        S_ISSOCK(s.st_mode)) {
        memcpy(value, &(uint64_t){s.st_ino}, sizeof(uint64_t));
        return 0;
    }
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "getsockopt");
    return next(fd, level, name, value, length);
}
