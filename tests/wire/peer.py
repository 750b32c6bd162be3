"""A TCP peer that does what a script says, and says when the kernel at the other end does not.

peer.py PORT SCRIPT    connect to the program under test by DEVICE; CAPTURE names a pcap file for all packets

The script is lines of packets, in order, as packetdrill has them. Times are ms since the handshake, which goes before the
script, or with "+" since the line before; a packet or event of the other end may come EARLY ms before its time and LATE ms
after it:

    [MS] < FLAGS FIRST:LAST(LENGTH) [ack N] [win N]    we send this (ack: what has come in order)
    [MS] > FLAGS FIRST:LAST(LENGTH) [ack N] [win N]    the kernel sends this; what is not stated may be anything
    [MS] < icmp host|port             the last packet's host or port is unreachable, says a router
    [MS] ! WORD                       the program under test has printed a line with this word, "end": it has ended
    take N                            all up to sequence number N (FIN has one too) comes, as written; we acknowledge it
    window N                          of what we send from here on (65535); before the first packet: of the handshake too
    [MS] unplug                       the device loses its carrier: no packet arrives any more
    MS                                nothing comes until then but acknowledgements and repetitions

Acknowledgements without data and repetitions need not be in the script; anything else that is not there is an error.
"""

import os
import re
import select
import sys
import time

import packets

EARLY, LATE, PATIENCE = 20, 300, 5000  # ms; PATIENCE: where the script states no time
PORT, ISN = 40000, 1_000_000
STATED = re.compile(r"(?P<flags>[SFRP.]+) (?P<seq>\d+):(?P<end>\d+)\((?P<size>\d+)\)"
                    r"(?: ack (?P<ack>\d+))?(?: win (?P<win>\d+))?$")


class Surprise(Exception):
    pass


def now():
    return time.monotonic() * 1000


def pattern(place, size):
    """What the servers write: pattern.h."""
    return bytes((i * 31 + (i >> 8) * 7) & 255 for i in range(place, place + size))


def stated(text):
    match = STATED.match(text)
    if not match:
        raise Surprise("this is no packet: FLAGS FIRST:LAST(LENGTH) [ack N] [win N]")
    return {key: value if key == "flags" else int(value) for key, value in match.groupdict().items() if value is not None}


class Peer:
    def __init__(self, port):
        self.port, self.device = port, packets.open_device(packets.KERNEL, packets.PEER)
        self.capture = packets.Capture(os.environ.get("CAPTURE"))
        self.window, self.base = 65535, 0  # base: the kernel's ISN
        self.next = 0  # what the kernel sends next, as far as all before it has come
        self.seen = 0  # the end of all that it has sent
        self.last = None  # its last packet
        self.zero, self.muted = now(), False
        self.said = {}  # word: when the program said it
        self.lines = b""

    # Absolute numbers are on the wire, relative ones here and in the script.

    def send(self, flags, seq, size=0, ack=None, win=None, options=b""):
        ack = self.next if ack is None else ack
        win = self.window if win is None else win
        number = self.base + ack if "." in flags else 0
        segment = packets.Segment(PORT, self.port, ISN + seq, number, flags, win, bytes(size), b"")
        self.put(packets.tcp(segment, options), f"< {flags} {seq}:{seq + size}({size}) ack {ack} win {win}")

    def put(self, packet, text):
        self.note(text)
        self.capture.add(packet)
        os.write(self.device, packet)

    def note(self, text):
        if not self.muted:
            packets.note(f"wire: {now() - self.zero:6.0f} {text}")

    def hear(self):
        more = os.read(0, 4096)
        self.lines += more
        for word in (self.lines.decode() if more else "end").replace("=", " ").split():
            self.said.setdefault(word, now())
        if self.lines.endswith(b"\n"):
            self.lines = b""

    def listen(self, until):
        """The next segment; None: a line of the program came, or the time is up."""
        sources = [self.device] if "end" in self.said else [self.device, 0]
        ready, _, _ = select.select(sources, [], [], max(0, until - now()) / 1000)
        if self.device not in ready:
            if ready:
                self.hear()
            return None
        packet = os.read(self.device, 65536)
        self.capture.add(packet)
        segment = packets.parse(packet)
        if not segment or segment.target != PORT:
            return None
        if "S" in segment.flags:
            self.base = segment.seq
        segment = segment._replace(seq=(segment.seq - self.base) % 2**32, ack=(segment.ack - ISN) % 2**32)
        self.last = segment
        self.note(f"> {self.text(segment)}")
        return segment

    @staticmethod
    def text(s):
        return f"{s.flags} {s.seq}:{s.seq + len(s.data)}({len(s.data)})" + (f" ack {s.ack} win {s.win}" if "." in s.flags else "")

    def unsurprised(self, segment):
        """An acknowledgement or a repetition; of new data the script must know."""
        old = segment.end <= self.seen and not set(segment.flags) & set("SR")
        if not old and (segment.flags != "." or segment.data):
            raise Surprise(f"the kernel sent {self.text(segment)}")

    def arrived(self, segment):
        if "R" not in segment.flags:
            self.seen = max(self.seen, segment.end)
            if segment.seq <= self.next:
                self.next = max(self.next, segment.end)

    def quiet(self, until):
        while now() < until:
            segment = self.listen(until)
            if segment:
                self.unsurprised(segment)

    def expect(self, at, flags, seq, end, size, ack=None, win=None):
        late = self.zero + at + LATE if at is not None else now() + PATIENCE
        while now() < late:
            s = self.listen(late)
            if not s:
                continue
            if (s.flags, s.seq, len(s.data)) == (flags, seq, size) and ack in (None, s.ack) and win in (None, s.win):
                if at is not None and now() < self.zero + at - EARLY:
                    raise Surprise(f"it came at {now() - self.zero:.0f} ms")
                self.arrived(s)
                return
            self.unsurprised(s)
        raise Surprise("it did not come")

    def await_word(self, at, word, after):
        late = self.zero + at + LATE if at is not None else now() + PATIENCE
        while word not in self.said and now() < late:
            segment = self.listen(late)
            if segment:
                self.unsurprised(segment)
        when = self.said.get(word)
        if when is None:
            raise Surprise("it did not happen")
        early = self.zero + at - EARLY if at is not None else after - EARLY
        if when < early or (at is not None and when > late):
            raise Surprise(f"it happened at {when - self.zero:.0f} ms")

    def take(self, end):
        patience, first, segments = now() + PATIENCE, self.next, 0
        self.muted = True
        while self.next < end and now() < patience:
            s = self.listen(patience)
            if not s:
                continue
            if "R" in s.flags or s.end > max(end, self.next):
                self.unsurprised(s)
            if s.seq <= self.next < s.seq + len(s.data) and s.data != pattern(s.seq - 1, len(s.data)):
                raise Surprise(f"the data of {self.text(s)} is not what was written")
            self.arrived(s)
            segments += 1
            if s.end > s.seq:
                self.send(".", self.sent)
        self.muted = False
        self.note(f"> {first}:{self.next} in {segments} segments")
        if self.next < end:
            raise Surprise(f"it came up to {self.next}")

    def handshake(self):
        self.send("S", 0, options=b"\2\4\5\xb4")  # MSS 1460 (RFC 9293 section 3.2), nothing else
        self.expect(None, "S.", 0, 0, 0, ack=1)
        self.sent = 1
        self.send(".", 1)
        self.zero = now()

    def do(self, line, before):
        time_stated, what = re.match(r"(\+?\d+)?\s*(.*)", line).groups()
        at = None if time_stated is None else int(time_stated)
        if at is not None and time_stated[0] == "+":
            at += before - self.zero
        kind, _, rest = what.partition(" ")
        if kind == ">":
            self.expect(at, **stated(rest))
        elif kind == "!":
            self.await_word(at, rest, before)
        elif kind == "take":
            self.take(int(rest))
        elif kind in ("<", "unplug", ""):
            if at is not None:
                self.quiet(self.zero + at)
            if kind == "unplug":
                packets.unplug(self.device)
            elif rest.startswith("icmp"):
                self.put(packets.unreachable({"host": 1, "port": 3}[rest[5:]], self.last.packet), what)
            elif kind == "<":
                s = stated(rest)
                self.send(s["flags"], s["seq"], s["size"], s.get("ack"), s.get("win"))
                self.sent = max(self.sent, s["end"] + ("F" in s["flags"]))
        else:
            raise Surprise("what is that?")

    def play(self, script):
        number, line, shaken, before = 0, "", False, 0.0
        try:
            for number, line in enumerate(script, 1):
                line = line.partition("#")[0].strip()
                if line.startswith("window "):
                    self.window = int(line[7:])
                elif line:
                    if not shaken:
                        self.handshake()
                    shaken = True
                    self.do(line, before)
                    before = now()
        except Surprise as surprise:
            packets.note(f"wire: line {number}, {line}: {surprise}")
            sys.exit(1)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: peer.py PORT SCRIPT")
    with open(sys.argv[2]) as text:
        lines = text.readlines()
    Peer(int(sys.argv[1])).play(lines)
