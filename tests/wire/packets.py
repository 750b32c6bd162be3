"""What peer.py and link.py share: TUN devices, IPv4 packets with TCP or ICMP in them, captures.

A segment is written as packetdrill writes it, "FLAGS FIRST:LAST(LENGTH) ack N win N", with FLAGS of S, F, R, P and "."
for ACK. Sequence numbers count from each side's SYN, which is 0: the first byte of data is 1.
"""

import fcntl
import os
import socket
import struct
import subprocess
import time
from typing import NamedTuple

DEVICE, KERNEL, PEER = "wire0", "10.9.8.1", "10.9.8.2"  # the program under test is at KERNEL
BITS = {"F": 1, "S": 2, "R": 4, "P": 8, ".": 16}  # RFC 9293 section 3.1
TCP, ICMP = 6, 1
IFF_TUN, IFF_NO_PI, TUNSETIFF, TUNSETCARRIER = 0x0001, 0x1000, 0x400454CA, 0x400454E2  # linux/if_tun.h


def open_device(here, there):
    """A TUN device between the two addresses: each read and write is a packet (the kernel's tuntap.txt). It goes up when
    we are attached already, since it would notice a carrier that comes later only after a while."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    for words in (["link", "set", DEVICE, "up"], ["address", "add", here, "peer", there, "dev", DEVICE]):
        subprocess.run(["ip", *words], check=True)
    return device


def unplug(device):
    fcntl.ioctl(device, TUNSETCARRIER, struct.pack("i", 0))


class Segment(NamedTuple):
    source: int
    target: int
    seq: int
    ack: int
    flags: str
    win: int
    data: bytes
    packet: bytes  # the whole, with its IPv4 header

    @property
    def end(self):
        return self.seq + len(self.data) + ("F" in self.flags) + ("S" in self.flags)


def parse(packet):
    """The segment that the packet holds, or None."""
    if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != TCP:
        return None
    segment = packet[(packet[0] & 15) * 4 :]
    source, target, seq, ack, offset, bits, win = struct.unpack_from(">HHIIBBH", segment)
    flags = "".join(flag for flag in "FSRP." if bits & BITS[flag])
    return Segment(source, target, seq, ack, flags, win, segment[(offset >> 4) * 4 :], packet)


def checksum(data):
    """RFC 1071."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ip(protocol, payload):
    """An IPv4 packet from PEER to KERNEL."""
    ends = socket.inet_aton(PEER) + socket.inet_aton(KERNEL)
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0) + ends
    return header[:10] + struct.pack(">H", checksum(header)) + header[12:] + payload


def tcp(segment, options=b""):
    """The packet of a segment from PEER to KERNEL."""
    bits = sum(BITS[flag] for flag in segment.flags)
    header = struct.pack(">HHIIBBHHH", segment.source, segment.target, segment.seq % 2**32, segment.ack % 2**32,
                         (20 + len(options)) // 4 << 4, bits, segment.win, 0, 0)
    whole = header + options + segment.data
    pseudo = socket.inet_aton(PEER) + socket.inet_aton(KERNEL) + struct.pack(">HH", TCP, len(whole))
    return ip(TCP, whole[:16] + struct.pack(">H", checksum(pseudo + whole)) + whole[18:])


def unreachable(code, packet):
    """ICMP: the destination of that packet is unreachable (RFC 792: 1 the host, 3 the port)."""
    body = struct.pack(">BBHI", 3, code, 0, 0) + packet[:28]
    return ip(ICMP, body[:2] + struct.pack(">H", checksum(body)) + body[4:])


class Capture:
    """A pcap file of raw IP packets (pcap-savefile(5), LINKTYPE_RAW), or none."""

    def __init__(self, path):
        self.file = open(path, "wb", buffering=0) if path else None  # complete even if we are killed
        if self.file:
            self.file.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))

    def add(self, packet):
        if self.file:
            ns = time.time_ns()
            size = len(packet)
            self.file.write(struct.pack("=IIII", ns // 10**9, ns // 1000 % 10**6, size, size) + packet)


def note(text):
    """Standard output is read by the program under test (exchange); people read standard error. One write: others too."""
    os.write(2, f"{text}\n".encode())
