"""datagrams.py PATH OUT [hold]: plays a daemon that listens on a datagram socket. Makes OUT once it listens, and writes
what comes there, each datagram with a line "--" after it. hold: reads nothing before SIGUSR1. Ends at SIGTERM, when all
that has come is written."""
import os
import signal
import socket
import sys

path, out, hold = sys.argv[1], sys.argv[2], sys.argv[3:] == ["hold"]
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
if os.path.exists(path):
    os.unlink(path)
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(path)
log = open(out, "ab", buffering=0)
ended = hold and signal.sigwait({signal.SIGUSR1, signal.SIGTERM}) == signal.SIGTERM
listener.setblocking(not ended)
signal.signal(signal.SIGTERM, lambda *_: listener.setblocking(False))
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
while True:
    try:
        data = listener.recv(65536)
    except BlockingIOError:
        break
    log.write(data + b"\n--\n")
