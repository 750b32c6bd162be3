/* Another preload with a close of its own: it counts, and tells at the end. */
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static int closes;

int close(int fd)
{
    closes++;
    return syscall(SYS_close, fd);
}

__attribute__((destructor)) static void tell(void) { dprintf(1, "counting: %s\n", closes ? "some" : "none"); }
