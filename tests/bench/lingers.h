/* Lingering close as one would write it into the program: the shim's steps and bounds, none of its questions, since the
 * program knows what its descriptor is. */
#ifndef LINGERS_H
#define LINGERS_H

#include "../connection.h"
#include <linux/sockios.h>
#include <sys/ioctl.h>

enum { LINGER_MS = 30000, DRAIN_MS = 30000, IDLE_MS = 2000 };

static inline void close_by_hand(int fd)
{
    long start = now_ms(), quiet = start;
    shutdown(fd, SHUT_WR);
    for (;;) {
        ssize_t n = recv(fd, NULL, 1 << 30, MSG_TRUNC | MSG_DONTWAIT);
        long now = now_ms(), left = start + DRAIN_MS - now;
        int outstanding = 0;

        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || left <= 0)
            break;
        if (n > 0) {
            quiet = now;
            continue;
        }
        if (now - quiet >= IDLE_MS || now - start >= LINGER_MS) {
            ioctl(fd, SIOCOUTQ, &outstanding);
            if (!outstanding || now - start >= LINGER_MS)
                break;
            quiet = now;
        }
        poll(&(struct pollfd){fd, POLLIN, 0}, 1, left < IDLE_MS ? left : IDLE_MS);
    }
    close(fd);
}

#endif
