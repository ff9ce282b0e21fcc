"""The traffic of a soak: applications of several kinds, the server behind the exits, and what went wrong with each stream.

Every stream has a number, which the server hears first; it notes which process the connection came from, so that the exit of each
stream is known.
"""

import hashlib
import os
import random
import socket
import socketserver
import struct
import threading
import time

from peers import blocks, digest, read_exactly, socks_connect, SocksError

STALL = 3.0        # seconds without a byte that should have come
PATIENCE = 30.0    # seconds after which a stream that does not move has failed
MIB = 1 << 20


def owner_of(port, server_port, pids):
    """Which of the processes holds the TCP connection from 127.0.0.1:port to the server; None when none does."""
    ends = (f"0100007F:{port:04X}", f"0100007F:{server_port:04X}")
    with open("/proc/net/tcp", encoding="ascii") as file:
        inode = next((words[9] for words in map(str.split, file) if (words[1], words[2]) == ends), None)
    for pid in pids:
        try:
            folder = f"/proc/{pid}/fd"
            if any(os.readlink(f"{folder}/{name}") == f"socket:[{inode}]" for name in os.listdir(folder)):
                return pid
        except OSError:
            continue
    return None


class _Handler(socketserver.BaseRequestHandler):
    """One line, `get NUMBER SIZE`, `put NUMBER`, `echo NUMBER`; then a body, or dots and the digest after the client's end, or an echo."""

    def handle(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request.settimeout(4 * PATIENCE)
        try:
            line = b""
            while not line.endswith(b"\n"):
                part = self.request.recv(1)
                if not part:
                    return
                line += part
            words = line.decode().split()
            self.server.note(int(words[1]), self.client_address[1])
            getattr(self, words[0])(*words[2:])
        except (OSError, ValueError):
            pass

    def get(self, size):
        for block in blocks(int(size)):
            self.request.sendall(block)

    def put(self):
        hash, size, told = hashlib.sha256(), 0, 0
        while part := self.request.recv(256 * 1024):
            hash.update(part)
            size += len(part)
            if size - told >= MIB // 4:  # a sign of life: what has been sent can be on its way for long
                told = size
                self.request.sendall(b".")
        self.request.sendall(f"{size} {hash.hexdigest()}\n".encode())

    def echo(self):
        while part := self.request.recv(65536):
            self.request.sendall(part)


class Server(socketserver.ThreadingTCPServer):
    """The server behind the exits; `exits` are the pids that connections may come from."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 4096

    def __init__(self, exits):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = self.server_address[1]
        self.exits = exits
        self._owners = {}
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def note(self, number, port):
        """Remembers from which exit a stream came."""
        self._owners[number] = owner_of(port, self.port, list(self.exits))

    def take(self, number):
        """The pid of a stream's exit, or None if it has not come that far; it is forgotten."""
        return self._owners.pop(number, None)

    def handle_error(self, request, client_address):
        pass


class Stream:
    """One connection through the proxy, with what is measured on it."""

    def __init__(self, run, kind, request, early=True):
        self.run, self.kind = run, kind
        self.number = run.next_number()
        self.began = time.monotonic()
        self.moved = self.began
        self.socket = None
        line = (request % self.number).encode() + b"\n"
        self.socket = self._timed(lambda: socks_connect(
            run.proxy, "127.0.0.1", run.server.port, timeout=PATIENCE, user=random.choice(run.users), early=line if early else b""),
            "to open")
        if not early:
            self.send(line)

    def _timed(self, step, what):
        """Runs what should not take long, and notes a stall when it does."""
        began = time.monotonic()
        try:
            return step()
        finally:
            taken = time.monotonic() - began
            if taken > STALL:
                self.run.stalled(self, taken, what)

    def send(self, data):
        self._timed(lambda: self.socket.sendall(data), "to send")

    def receive(self, count):
        part = self._timed(lambda: self.socket.recv(count), "to receive")
        if not part:
            raise EOFError("ended early")
        return part

    def read_exactly(self, count):
        return self._timed(lambda: read_exactly(self.socket, count), "to receive")

    def close(self):
        if self.socket:
            self.socket.close()
        self.run.server.take(self.number)


class Traffic:
    """All applications, each a thread that opens one stream after the other until the run ends.

    `report(stream kind, exit pid, began, error)` is called for each failure, `stalled(...)` for each stall.
    """

    KINDS = {"download": 2, "upload": 2, "request": 4, "ping": 2, "idle": 12, "abort": 2}

    def __init__(self, proxy, server, rate, on_error, on_stall):
        self.proxy, self.server, self.rate = proxy, server, rate
        self.users = [None, None, "anna", "ben"]
        self.counts = {kind: {"streams": 0, "bytes": 0} for kind in self.KINDS}
        self._on_error, self._on_stall = on_error, on_stall
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._number = 0
        self._threads = [
            threading.Thread(target=self._work, args=(kind,), daemon=True) for kind, count in self.KINDS.items() for _ in range(count)]

    def start(self):
        for thread in self._threads:
            thread.start()

    def stop(self):
        """Lets every stream that is under way end by itself; False when one does not."""
        self._ending.set()
        end = time.monotonic() + 2 * PATIENCE
        for thread in self._threads:
            thread.join(max(0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def next_number(self):
        with self._lock:
            self._number += 1
            return self._number

    def stalled(self, stream, seconds, what):
        self._on_stall(f"{stream.kind} {what}", seconds)

    def _work(self, kind):
        step = getattr(self, "_" + kind)
        while not self._ending.is_set():
            began = time.monotonic()
            number = None
            self._ending.wait(random.expovariate(4))
            with self._lock:
                number = self._number
            stream = []
            try:
                done = step(stream)
                with self._lock:
                    self.counts[kind]["streams"] += 1
                    self.counts[kind]["bytes"] += done
            except (OSError, EOFError, SocksError, AssertionError, ValueError) as error:
                owner = self.server.take(stream[0].number) if stream else None
                self._on_error(kind, owner, began, error)
                self._ending.wait(0.5)
            finally:
                if stream:
                    stream[0].close()

    def _open(self, holder, kind, request, early=True):
        """A stream that the caller's `holder` owns from its first moment, so that a failure to open it knows its number."""
        stream = Stream.__new__(Stream)
        holder.append(stream)
        stream.socket = None
        stream.__init__(self, kind, request, early)
        return stream

    def _pace(self, began, count):
        """Waits until `count` bytes since `began` are no more than the rate allows."""
        wait = began + count / self.rate - time.monotonic()
        if wait > 0:
            time.sleep(wait)

    # One stream each; what is returned is how many bytes were checked.

    def _download(self, holder):
        size = int(2 ** random.uniform(16, 25))
        stream = self._open(holder, "download", f"get %d {size}")
        return self._body(stream, size)

    def _body(self, stream, size):
        hash, count, began = hashlib.sha256(), 0, time.monotonic()
        while count < size:
            part = stream.receive(min(MIB // 4, size - count))
            hash.update(part)
            count += len(part)
            self._pace(began, count)
        if hash.hexdigest() != digest(size):
            raise ValueError("corrupt")
        if stream._timed(lambda: stream.socket.recv(1), "to end"):
            raise ValueError("more than there is")
        return size

    def _upload(self, holder):
        size, count, began = int(2 ** random.uniform(16, 25)), 0, time.monotonic()
        stream = self._open(holder, "upload", "put %d")
        for block in blocks(size):
            stream.send(block)
            count += len(block)
            self._pace(began, count)
        stream.socket.shutdown(socket.SHUT_WR)
        reply = b""
        while not reply.endswith(b"\n"):
            reply += stream.receive(1024)
        if reply.decode().lstrip(".").split() != [str(size), digest(size)]:
            raise ValueError("corrupt")
        return size

    def _request(self, holder):
        size = random.choice((8, 300, 4_000, 30_000))
        stream = self._open(holder, "request", f"get %d {size}", early=random.random() < 0.5)
        return self._body(stream, size)

    def _echo(self, stream, size):
        data = random.randbytes(size)
        stream.send(data)
        if stream.read_exactly(size) != data:
            raise ValueError("corrupt")

    def _ping(self, holder):
        stream = self._open(holder, "ping", "echo %d")
        count = 0
        for _ in range(random.randint(10, 600)):
            if self._ending.wait(0.1):
                break
            self._echo(stream, 1)
            count += 1
        return count

    def _idle(self, holder):
        stream = self._open(holder, "idle", "echo %d")
        for _ in range(random.randint(1, 5)):
            if self._ending.wait(random.uniform(2, 60)):
                break
            self._echo(stream, 100)
        return 100

    def _abort(self, holder):
        """Leaves in ways that well-behaved applications do not."""
        way = random.randrange(4)
        if way == 0:  # in the middle of the SOCKS handshake
            with socket.create_connection(self.proxy, timeout=PATIENCE) as sock:
                sock.sendall(b"\x05\x01\x00\x05\x01"[:random.randint(1, 5)])
            return 0
        size = 8 * MIB
        stream = self._open(holder, "abort", f"get %d {size}" if way < 3 else "put %d")
        if way < 3:
            left = random.randrange(2 * MIB)
            while left > 0:
                left -= len(stream.receive(min(65_536, left)))
        else:
            for block in blocks(random.randrange(2 * MIB)):
                stream.send(block)
        if way != 2:  # a reset; otherwise an end with bytes unread
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return 0
