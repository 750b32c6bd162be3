"""The clients of scripts/demo.

demo-peer.py download PORT LABEL     fetch /file over HTTP while asking for more; print a row
demo-peer.py cell CASE COMMAND...    start demo-sender by COMMAND, print what its peer could read
"""

import socket
import subprocess
import sys
import time


def resets_sent():
    """OutRsts of this network namespace."""
    with open("/proc/net/snmp") as counters:
        names, values = [line.split() for line in counters if line.startswith("Tcp:")]
    return int(values[names.index("OutRsts")])


def connect(port, receive_buffer):
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    peer.settimeout(30)
    peer.connect(("127.0.0.1", port))
    return peer


def read_to_the_end(peer, pause=0.0):
    """Bytes read, and how the reading ended."""
    total = 0
    while True:
        try:
            data = peer.recv(16384)
        except ConnectionResetError:
            return total, "RESET"
        except socket.timeout:
            return total, "TIMEOUT"
        if not data:
            return total, "EOF"
        total += len(data)
        time.sleep(pause)


def download(port, label):
    before = resets_sent()
    start = time.monotonic()
    peer = connect(port, 65536)
    peer.sendall(b"GET /file HTTP/1.0\r\n\r\n")
    head = b""
    while b"\r\n\r\n" not in head:
        head += peer.recv(1024)
    head, body = head.split(b"\r\n\r\n", 1)
    sent = int(head.lower().split(b"content-length:")[1].split()[0])
    # The reply has begun: now the server no longer looks for a request.
    peer.sendall(b"GET /next HTTP/1.0\r\n\r\n")
    received, ending = read_to_the_end(peer, pause=0.001)
    ms = (time.monotonic() - start) * 1000
    peer.close()
    received += len(body)
    ending = {"RESET": "Connection reset by peer", "EOF": "end of file"}.get(ending, ending)
    resets = resets_sent() - before
    print(f"{label:<20}{received:>9,} of {sent:,}  {ending:<24}{resets:>5}{ms:>6.0f}")


def wait_until_asleep(pid):
    """In close(), or past it: either way the program has called it."""
    while True:
        with open(f"/proc/{pid}/stat") as stat:
            if stat.read().rpartition(")")[2].split()[0] == "S":
                return
        time.sleep(0.001)


def cell(case, command):
    before = resets_sent()
    sender = subprocess.Popen(
        command + [case], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    peer = connect(int(sender.stdout.readline()), 4096)
    if case == "unread":
        peer.sendall(b"input that nobody reads")
    if sender.stdout.readline() != "closing\n":
        sys.exit("demo-peer: the sender did not get as far as close()")
    wait_until_asleep(sender.pid)
    if case == "late":
        peer.sendall(b"input after the close")
    received, ending = read_to_the_end(peer)
    peer.close()
    sender.stdin.close()
    sender.wait()
    if ending == "EOF" and resets_sent() > before:
        ending = "EOF, RST"
    print(f"{received:,} {ending}")


if sys.argv[1] == "download":
    download(int(sys.argv[2]), sys.argv[3])
else:
    cell(sys.argv[2], sys.argv[3:])
