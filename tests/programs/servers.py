"""usage: python3 servers.py MODEL PORT
Servers as Python programs write them. Each reads a line and answers it: "get" with 3 MB, anything
else with a sentence; then it lets go, whatever the client still sends.
"""
import asyncio
import multiprocessing
import multiprocessing.reduction
import os
import socket
import socketserver
import ssl
import sys

FILE = bytes(3_000_000)
HERE = "127.0.0.1"


def answer(line):
    return FILE if line.strip() == b"get" else b"no such thing: " + line


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(answer(self.rfile.readline()))


def forking(port):
    socketserver.ForkingTCPServer((HERE, port), Handler).serve_forever()


def threading(port):
    socketserver.ThreadingTCPServer((HERE, port), Handler).serve_forever()


def streams(port):
    async def handle(reader, writer):
        writer.write(answer(await reader.readline()))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def serve():
        async with await asyncio.start_server(handle, HERE, port) as server:
            await server.serve_forever()

    asyncio.run(serve())


def tls(port):
    """The certificate and its key: the file that $CERTIFICATE names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.environ["CERTIFICATE"])

    class Server(socketserver.ThreadingTCPServer):
        def get_request(self):
            connection, address = super().get_request()
            return context.wrap_socket(connection, server_side=True), address

    Server((HERE, port), Handler).serve_forever()


def serve(connection):
    with connection, connection.makefile("rb") as lines:
        connection.sendall(answer(lines.readline()))


def take_handles(pipe):
    while True:
        serve(socket.socket(fileno=multiprocessing.reduction.recv_handle(pipe)))


def handing(port):
    """The parent accepts, and passes each connection to a worker by SCM_RIGHTS."""
    ours, theirs = multiprocessing.Pipe()
    worker = multiprocessing.Process(target=take_handles, args=(theirs,), daemon=True)
    worker.start()
    with socket.create_server((HERE, port)) as listener:
        while True:
            connection, _ = listener.accept()
            multiprocessing.reduction.send_handle(ours, connection.fileno(), worker.pid)
            connection.close()


def take_sockets(pipe):
    while True:
        serve(pipe.recv())


def pickling(port):
    """As handing, but by the resource sharer: a thread of the parent's, which holds a dup until the worker asks for it."""
    spawned = multiprocessing.get_context("spawn")
    ours, theirs = spawned.Pipe()
    spawned.Process(target=take_sockets, args=(theirs,), daemon=True).start()
    with socket.create_server((HERE, port)) as listener:
        while True:
            connection, _ = listener.accept()
            ours.send(connection)
            connection.close()


def pool(port):
    """Prefork: four children accept."""
    with socket.create_server((HERE, port)) as listener:

        def work():
            while True:
                serve(listener.accept()[0])

        children = [multiprocessing.Process(target=work, daemon=True) for _ in range(4)]
        for child in children:
            child.start()
        for child in children:
            child.join()


if __name__ == "__main__":
    try:
        globals()[sys.argv[1]](int(sys.argv[2]))
    except KeyboardInterrupt:
        sys.exit(0)  # uncaught, Python would end itself by the signal
