"""usage: nagle-asks.py lines|http|close PORT N [PATH]

N requests, one after the other, the next when the reply is there: lines on one connection (a reply ends with the line
"end"), HTTP on one connection, or HTTP with a connection for each. Prints the packets with data that a reply took, as
this kernel counted them on arrival, and the median of the ms."""
import http.client
import socket
import statistics
import struct
import sys
import time


def packets(connection):
    # linux/tcp.h, struct tcp_info: tcpi_data_segs_in
    return struct.unpack_from("I", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 152)[0]


def lines(port, n, _):
    connection = socket.create_connection(("127.0.0.1", port))
    replies = connection.makefile("rb")
    for _ in range(n):
        yield 0
        connection.sendall(b"q\n")
        while (line := replies.readline()) != b"end\n":
            assert line, "the connection ended in a reply"
    yield packets(connection)


def keep_alive(port, n, path):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for _ in range(n):
        yield 0
        connection.request("GET", path)
        reply = connection.getresponse()
        assert reply.status == 200 and reply.read(), path
        assert connection.sock, "the server does not keep the connection"
    yield packets(connection.sock)


def close(port, n, path):
    total = 0
    for _ in range(n):
        yield 0
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        reply = b""
        while got := connection.recv(65536):
            reply += got
        assert b" 200 " in reply and reply.endswith(b"end\n"), reply
        total += packets(connection)
        connection.close()
    yield total


socket.setdefaulttimeout(20)
kind, port, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
exchange = {"lines": lines, "http": keep_alive, "close": close}[kind](port, n, *sys.argv[4:] or [None])
next(exchange)
took = []
for _ in range(n):
    began = time.perf_counter()
    total = next(exchange)
    took.append((time.perf_counter() - began) * 1000)
print(f"{total / n:.2f} {statistics.median(took):.2f}")
