/* A careless preload: each close asks first whether the descriptor is there. */
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

int close(int fd) { return syscall(SYS_fcntl, fd, F_GETFD) < 0 ? -1 : (int)syscall(SYS_close, fd); }
