"""usage: python3 tls-peer.py PORT WORD...
The scripted client over TLS, with those of build/tests/peer's words that are needed here:
any, rcvbuf=N, sndbuf=N, text=STRING, send=N, await=reply (reads one byte), read, slow=N:MS; and notify: send
close_notify (RFC 8446 section 6.1), which the server, gone without one, does not wait for.
"""
import errno
import socket
import ssl
import sys
import time

words = [word.partition("=")[::2] for word in sys.argv[2:]]
got = sent = 0
end, send_error = "NONE", "none"
began = time.monotonic()


def name(error):
    return "RESET" if error.errno == errno.ECONNRESET else errno.errorcode.get(error.errno, type(error).__name__)


def send(data):
    global sent, send_error
    try:
        tls.sendall(data)
        sent += len(data)
    except OSError as error:
        send_error = name(error)


def read(most, pause, once=False):
    global got, end
    try:
        while data := tls.recv(most):
            got += len(data)
            if once:
                return
            time.sleep(pause)
        end = "EOF"
    except OSError as error:
        end = name(error)


def notify():
    """The connection is left as it is: unwrap() would wait for the server's close_notify."""
    global send_error
    tls.setblocking(False)
    try:
        tls.unwrap()
    except ssl.SSLError:
        pass  # nothing comes back
    except OSError as error:
        send_error = name(error)


context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
tcp = socket.socket()
buffers = {"rcvbuf": socket.SO_RCVBUF, "sndbuf": socket.SO_SNDBUF}
for word, value in words:
    if word in buffers:
        tcp.setsockopt(socket.SOL_SOCKET, buffers[word], int(value))
tcp.connect(("127.0.0.1", int(sys.argv[1])))
tls = context.wrap_socket(tcp)

for word, value in words:
    if word == "text":
        send(value.replace("\\r", "\r").replace("\\n", "\n").encode())
    elif word == "send":
        send(bytes(int(value)))
    elif word == "await":
        read(1, 0, once=True)
    elif word == "read":
        read(65536, 0)
    elif word == "slow":
        read(int(value.split(":")[0]), int(value.split(":")[1]) / 1000)
    elif word == "notify":
        notify()
    elif word != "any" and word not in buffers:
        sys.exit(f"what is {word}?")
ms = int((time.monotonic() - began) * 1000)
print(f"bytes={got} end={end} sent={sent} send_error={send_error} ms={ms}")
