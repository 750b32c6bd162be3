/* Runs a command in a network namespace of its own, with lo up and socket
 * buffers so large that a write of a few megabytes never waits for the peer. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        err(77, "%s", path);
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        errx(2, "usage: netns command [args]");

    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(uid ? CLONE_NEWUSER | CLONE_NEWNET : CLONE_NEWNET) < 0)
        err(77, "unshare");
    if (uid) {
        char map[64];
        put("/proc/self/setgroups", "deny");
        snprintf(map, sizeof map, "0 %u 1", gid);
        put("/proc/self/gid_map", map);
        snprintf(map, sizeof map, "0 %u 1", uid);
        put("/proc/self/uid_map", map);
    }

    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
        err(77, "lo");
    close(fd);
    put("/proc/sys/net/ipv4/tcp_wmem", "4096 8388608 8388608");

    execvp(argv[1], argv + 1);
    err(errno == ENOENT ? 127 : 126, "%s", argv[1]);
}
