"""A bad path between two kernels: starts a client in a network namespace of its own, and carries the packets between it
and the program under test.

link.py [WORD...] -- CLIENT [ARG...]
    delay=MS        each way
    loss=PERCENT    of all packets, both ways
    late=PERCENT    come up to 20 ms later than they should: others overtake them
    twice=PERCENT   come twice
    lose=fin:N      the first N that carry the program's FIN
    lose=answer:N   the first N that carry the client's FIN
    seed=N          of what is left to chance
    after=MS        goes on for so long when both are over

CAPTURE names a pcap file for all packets, those lost too. Ends with the client's status, when standard input has ended as
well: the program under test is over.
"""

import ctypes
import heapq
import os
import random
import select
import socket
import sys
import time

import packets

CLONE_NEWNET = 0x40000000  # linux/sched.h; os.unshare is there from Python 3.12 on
OVERTAKEN = 20  # ms


def client(command, parent):
    """In the child: our end of the path, then the client."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        sys.exit(f"link: no network namespace: {os.strerror(ctypes.get_errno())}")
    device = packets.open_device(packets.PEER, packets.KERNEL)
    socket.send_fds(parent, [b"."], [device])
    os.environ["ADDRESS"] = packets.KERNEL
    os.execvp(command[0], command)


class Link:
    def __init__(self, words, ends):
        self.ends = ends  # the program's device, the client's device
        self.words = {"delay": 0.0, "loss": 0.0, "late": 0.0, "twice": 0.0, "seed": 1.0, "after": 0.0}
        self.losses = {"fin": 0, "answer": 0}
        for word in words:
            name, _, value = word.partition("=")
            if name == "lose":
                which, _, times = value.partition(":")
                self.losses[which] = int(times)
            elif name in self.words:
                self.words[name] = float(value)
            else:
                sys.exit(f"link: what is {word}?")
        self.chance = random.Random(self.words["seed"])
        self.capture = packets.Capture(os.environ.get("CAPTURE"))
        self.queue, self.count = [], 0
        self.lost = self.overtaken = self.doubled = 0

    def happens(self, name):
        return self.chance.random() * 100 < self.words[name]

    def is_lost(self, packet, source):
        segment, which = packets.parse(packet), ("fin", "answer")[source]
        if segment and "F" in segment.flags and self.losses[which] > 0:
            self.losses[which] -= 1
            return True
        return self.happens("loss")

    def take(self, source):
        packet = os.read(self.ends[source], 65536)
        self.capture.add(packet)
        if self.is_lost(packet, source):
            self.lost += 1
            return
        late, twice = self.happens("late"), self.happens("twice")
        self.overtaken += late
        self.doubled += twice
        for _ in range(1 + twice):
            when = time.monotonic() + self.words["delay"] / 1000
            when += self.chance.random() * OVERTAKEN / 1000 if late else 0
            self.count += 1  # of two with the same time the first goes first
            heapq.heappush(self.queue, (when, self.count, self.ends[1 - source], packet))

    def give(self):
        while self.queue and self.queue[0][0] <= time.monotonic():
            _, _, device, packet = heapq.heappop(self.queue)
            os.write(device, packet)

    def carry(self, pid):
        """In turn until the client is over (which reads standard input), the program, and the time after that."""
        process, status, end = os.pidfd_open(pid), None, float("inf")
        while time.monotonic() < end:
            wait = min(self.queue[0][0] if self.queue else end, end) - time.monotonic()
            sources = [*self.ends, process if status is None else 0] if end == float("inf") else self.ends
            ready, _, _ = select.select(sources, [], [], None if wait == float("inf") else max(0, wait))
            for source in (0, 1):
                if self.ends[source] in ready:
                    self.take(source)
            self.give()
            if process in ready:
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if 0 in ready and not os.read(0, 4096):
                end = time.monotonic() + self.words["after"] / 1000
        packets.note(f"link: lost={self.lost} overtaken={self.overtaken} doubled={self.doubled}")
        return status


def main(arguments):
    if "--" not in arguments[:-1]:
        sys.exit("usage: link.py [WORD...] -- CLIENT [ARG...]")
    split = arguments.index("--")
    here, there = socket.socketpair()
    near = packets.open_device(packets.KERNEL, packets.PEER)
    pid = os.fork()
    if pid == 0:
        client(arguments[split + 1 :], there)
    there.close()
    far = socket.recv_fds(here, 1, 1)[1]
    if not far:
        sys.exit("link: the client's end could not be made")
    sys.exit(Link(arguments[:split], (near, *far)).carry(pid))


if __name__ == "__main__":
    main(sys.argv[1:])
