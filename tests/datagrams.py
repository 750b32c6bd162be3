"""datagrams.py PATH OUT [hold]: plays a daemon that listens on a datagram socket. Makes OUT once it listens, and writes
what comes there, each datagram with a line "--" after it. hold: reads nothing before SIGUSR1. Ends at SIGTERM, when all
that has come is written."""
import os
import select
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
if hold and signal.sigwait({signal.SIGUSR1, signal.SIGTERM}) == signal.SIGTERM:
    os.kill(os.getpid(), signal.SIGTERM)
# A signal that comes just before a recv that blocks would end nothing: both are waited for, together.
told, tell = os.pipe()
os.set_blocking(tell, False)
listener.setblocking(False)
signal.set_wakeup_fd(tell)
signal.signal(signal.SIGTERM, lambda *_: None)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
while listener in (ready := select.select([listener, told], [], [])[0]) or told not in ready:
    if listener in ready:
        log.write(listener.recv(65536) + b"\n--\n")
