"""A SOCKS5 client and the servers behind the exit, with the standard library only.

A *body* of n bytes is made of blocks of 64 KiB, each a fixed pseudo-random run that begins with the block's number, so bytes that are
lost, doubled or out of order always change its SHA-256.
"""
import hashlib
import random
import socket
import socketserver
import struct
import threading

BLOCK = 64 * 1024
_RUN = random.Random(7).randbytes(BLOCK)


def blocks(size):
    """The body of `size` bytes, block by block."""
    number = 0
    while size > 0:
        block = struct.pack("<Q", number) + _RUN[8:]
        yield block[:size]
        size -= len(block)
        number += 1


def digest(size):
    """The SHA-256 of the body of `size` bytes."""
    hash = hashlib.sha256()
    for block in blocks(size):
        hash.update(block)
    return hash.hexdigest()


class SocksError(Exception):
    """The proxy's reply was not "succeeded"; `code` is the reply code."""

    def __init__(self, code):
        super().__init__(f"SOCKS reply {code}")
        self.code = code


def read_exactly(sock, count):
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise EOFError(f"{len(data)} of {count} bytes")
        data += part
    return data


def socks_connect(proxy, host, port, timeout=60, user=None, early=b""):
    """A socket to host:port through the proxy, a (host, port) pair; the proxy gets host names unresolved. `early` is sent right after the request."""
    sock = socket.create_connection(proxy, timeout=timeout)
    try:
        if user is None:
            sock.sendall(b"\x05\x01\x00")
            assert read_exactly(sock, 2) == b"\x05\x00"
        else:
            sock.sendall(b"\x05\x01\x02")
            assert read_exactly(sock, 2) == b"\x05\x02"
            name = user.encode()
            sock.sendall(b"\x01" + bytes([len(name)]) + name + b"\x01x")
            assert read_exactly(sock, 2) == b"\x01\x00"
        try:
            address = b"\x01" + socket.inet_aton(host) if host.count(".") == 3 else None
        except OSError:
            address = None
        if address is None:
            name = host.encode()
            address = b"\x03" + bytes([len(name)]) + name
        sock.sendall(b"\x05\x01\x00" + address + struct.pack(">H", port) + early)
        reply = read_exactly(sock, 4)
        if reply[1] != 0:
            raise SocksError(reply[1])
        read_exactly(sock, {1: 4, 4: 16}[reply[3]] + 2)
        return sock
    except BaseException:
        sock.close()
        raise


class _Handler(socketserver.BaseRequestHandler):
    """Reads a request of one line, and answers it.

    `get N` sends a body, `put` reads one until its end and answers with size and digest, `echo` echoes. `late N` answers with
    a body only after the client's half has ended, `reset` resets the connection after the next byte, and `watch` sends "w" and
    records how the connection ends."""

    def handle(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = b""
        while not line.endswith(b"\n"):
            part = self.request.recv(1)
            if not part:
                return
            line += part
        words = line.decode().split()
        self.server.connections += 1
        try:
            getattr(self, words[0])(*words[1:])
        except OSError:
            pass

    def get(self, size):
        for block in blocks(int(size)):
            self.request.sendall(block)

    def put(self):
        hash, size = hashlib.sha256(), 0
        while part := self.request.recv(256 * 1024):
            hash.update(part)
            size += len(part)
        self.request.sendall(f"{size} {hash.hexdigest()}\n".encode())

    def echo(self):
        while part := self.request.recv(65536):
            self.request.sendall(part)

    def late(self, size):
        while self.request.recv(65536):
            pass
        self.get(size)

    def reset(self):
        self.request.sendall(b"r")
        self.request.recv(1)
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.request.close()

    def watch(self):
        self.request.sendall(b"w")
        try:
            while self.request.recv(65536):
                pass
            self.server.ends.append("end")
        except ConnectionResetError:
            self.server.ends.append("reset")


class Peer(socketserver.ThreadingTCPServer):
    """The server, a context manager.

    `port` is its port on 127.0.0.1, `connections` the number of served connections, `ends` how watched ones have ended."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 4096

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = self.server_address[1]
        self.connections = 0
        self.ends = []
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request, client_address):
        pass

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


def receive(sock, size, progress=None):
    """Reads a body of `size` bytes; returns its digest. Calls `progress(count)` after each read."""
    hash, count = hashlib.sha256(), 0
    while count < size:
        part = sock.recv(min(256 * 1024, size - count))
        if not part:
            raise EOFError(f"{count} of {size} bytes")
        hash.update(part)
        count += len(part)
        if progress:
            progress(count)
    return hash.hexdigest()


def download(proxy, port, size, progress=None, **options):
    """Fetches a body through the proxy and returns its digest."""
    with socks_connect(proxy, "127.0.0.1", port, early=b"get %d\n" % size, **options) as sock:
        return receive(sock, size, progress)


def upload(proxy, port, size, **options):
    """Sends a body through the proxy; returns (size, digest) as the server saw them."""
    with socks_connect(proxy, "127.0.0.1", port, early=b"put\n", **options) as sock:
        for block in blocks(size):
            sock.sendall(block)
        sock.shutdown(socket.SHUT_WR)
        reply = b""
        while part := sock.recv(1024):
            reply += part
    words = reply.decode().split()
    return int(words[0]), words[1]
