/*
 * May this descriptor linger? Reasons that can be printed, decided from the kernel's answers.
 */
#include "lingerclose.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/un.h>

/* tcpi_state is the first byte of struct tcp_info (tcp(7), TCP_INFO); a short buffer is filled as far as it goes.
   Anything that is no TCP or MPTCP socket refuses the question. */
static int tcp_state(int fd)
{
    uint8_t state = 0;
    socklen_t length = sizeof state;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &length) ? -1 : state;
}

static bool unix_stream(int fd)
{
    int domain = 0, type = 0;
    socklen_t length = sizeof domain;
    return config.families & FAMILY_UNIX && !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) &&
           domain == AF_UNIX && !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) && type == SOCK_STREAM;
}

/* Of a family that we look after. */
bool verdict_socket(int fd) { return tcp_state(fd) >= 0 || unix_stream(fd); }

bool verdict_listens(int fd) { return tcp_state(fd) == TCP_LISTEN; }

/* AF_UNIX has the same fault (unix_release_sock() sends ECONNRESET where input is unread). Only where a hook has seen
   it come: a socketpair is a pipe between parent and child more often than a connection. */
static bool unix_live(int fd)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    return set_has(KNOWN, fd) && unix_stream(fd) && !getpeername(fd, (struct sockaddr *)&peer, &length);
}

/*
 * A live connection: its close can send RST in place of what is still to be sent (tcp_close() in net/ipv4/tcp.c resets
 * from every state with unread input but CLOSE). LAST_ACK and CLOSING are among them: the program has sent its FIN, the
 * peer too, and unread input still resets what is on its way.
 */
int verdict_live(int fd)
{
    switch (tcp_state(fd)) {
    case TCP_ESTABLISHED:
        return LIVE;
    case TCP_FIN_WAIT1:
    case TCP_FIN_WAIT2:
        return LIVE | WE_FINISHED;
    case TCP_CLOSE_WAIT:
        return LIVE | PEER_FINISHED;
    case TCP_LAST_ACK:
    case TCP_CLOSING:
        return LIVE | WE_FINISHED | PEER_FINISHED;
    }
    /* else it is listening, connecting, dead or no TCP socket */
    return config.families & FAMILY_UNIX && unix_live(fd) ? LIVE | MAYBE_FINISHED : 0;
}

static bool loopback(const struct sockaddr_in6 *a)
{
    const uint8_t *four = (const uint8_t *)&((const struct sockaddr_in *)a)->sin_addr;
    if (a->sin6_family == AF_INET)
        return *four == 127;
    return a->sin6_family == AF_INET6 && (IN6_IS_ADDR_LOOPBACK(&a->sin6_addr) ||
                                          (IN6_IS_ADDR_V4MAPPED(&a->sin6_addr) && a->sin6_addr.s6_addr[12] == 127));
}

static bool port_in(enum set set, in_port_t port)
{
    struct sockaddr_in6 local = {0};
    socklen_t length;
    int looked = 0, fd = -1;
    while (looked++ < 64 && (fd = set_next(set, fd)) >= 0) {
        length = sizeof local;
        if (!getsockname(fd, (struct sockaddr *)&local, &length) && local.sin6_port == port &&
            (local.sin6_family == AF_INET || local.sin6_family == AF_INET6)) /* the two need not be alike: ipv6(7) */
            return true;
    }
    return false;
}

/* Is the other end a socket of this very process (a test's, a program's wake-up connection)? Its port tells; of one that
   is not accepted yet, the listener's. */
bool verdict_both_ends(int fd)
{
    struct sockaddr_in6 peer = {0};
    socklen_t length = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &length) || !loopback(&peer))
        return false;
    return port_in(KNOWN, peer.sin6_port) || port_in(LISTENS, peer.sin6_port);
}

/* SO_LINGER {1, 0} is an intended abort; {1, 5}, often inherited from the listener, is none. Most programs never set it:
   until this one does, or has a socket that may come with it, there is nothing to ask before FIN. */
static _Atomic bool linger_set;

void verdict_linger_set(void) { linger_set = true; }

static bool abort_wanted(const struct linger *l) { return l->l_onoff && l->l_linger == 0; }

static bool port_listed(int fd)
{
    struct sockaddr_in6 local = {0};
    socklen_t length = sizeof local;
    if (getsockname(fd, (struct sockaddr *)&local, &length))
        return false;
    /* sin_port and sin6_port are at the same place */
    uint16_t port = ntohs(local.sin6_port);
    for (unsigned i = 0; i < config.port_ranges; i++)
        if (port >= config.ports[i].first && port <= config.ports[i].last)
            return true;
    return false;
}

/* What the configuration says of a live connection; asked before anybody else's interest in it. *own: the program's own
   SO_LINGER is set, and must not act on the last close. */
enum why verdict_rules(int fd, unsigned role, bool *own)
{
    struct linger l = {0};
    socklen_t length = sizeof l;
    if (!(config.roles & role))
        return WHY_ROLE;
    if (config.port_ranges && !port_listed(fd))
        return WHY_PORT;
    if (linger_set)
        getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &length);
    *own = l.l_onoff;
    if (config.abort == ABORT_KEEP && abort_wanted(&l))
        return WHY_ABORT;
    return config.when == WHEN_PENDING ? WHY_PENDING : WHY_ALWAYS;
}

/* Can this close do harm as things stand? Input is unread, or output (our FIN too) is not acknowledged. */
bool verdict_pending(int fd)
{
    int in = 0, out = 0;
    return ioctl(fd, FIONREAD, &in) || ioctl(fd, SIOCOUTQ, &out) || in || out;
}

bool verdict_lingers(enum why why) { return why <= WHY_MAX; }

const char *verdict_name(enum why why)
{
    static const char *const names[] = {
        [WHY_ALWAYS] = "always", [WHY_PENDING] = "pending", [WHY_MAX] = "max",   [WHY_ABORT] = "abort",
        [WHY_ROLE] = "role",     [WHY_PORT] = "port",       [WHY_IDLE] = "idle", [WHY_FINISHED] = "finished",
        [WHY_HELD] = "held",     [WHY_EPOLL] = "epoll",
    };
    return names[why];
}
