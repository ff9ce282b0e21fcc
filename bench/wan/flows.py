"""Both ends of every stream, in this process: apps in the client's namespace, and the server in the destination's.

So one clock times everything, and bytes are counted where they arrive. A stream begins with a line, `OPERATION NUMBER SIZE`:
    D  the server sends until the app closes
    U  the app sends until it closes
    P  the server sends back what comes
    G  the server sends SIZE bytes, and waits for the next line
"""

import socket
import struct
import threading
import time

PORT = 7_000
CHUNK = 256 * 1024
BIN = 0.05           # seconds
OPENING = 20         # seconds that a stream may take to open
_ZEROS = memoryview(bytes(CHUNK))


class Broken(Exception):
    """A stream was refused, closed or did not open in time."""


class Meter:
    """What arrived, by time: bytes in bins of BIN seconds, and when there was silence."""

    def __init__(self):
        self.began = time.monotonic()
        self.bins, self.total = {}, 0
        self.last = self.began
        self.gaps = []  # (end, length) of each silence above a tenth of a second

    def add(self, count):
        now = time.monotonic()
        if now - self.last > 0.1:
            self.gaps.append((now, now - self.last))
        self.last = now
        self.total += count
        place = int((now - self.began) / BIN)
        self.bins[place] = self.bins.get(place, 0) + count

    def bytes_between(self, begin, end):
        """Bytes from `begin` to `end` seconds after the start."""
        return sum(count for place, count in list(self.bins.items()) if begin <= place * BIN < end - 1e-9)

    def longest_silence(self, since):
        """The longest time without a byte that ended, or lasts, after the monotonic time `since`."""
        gaps = [min(length, end - since) for end, length in list(self.gaps) if end > since]
        return max([*gaps, time.monotonic() - max(self.last, since)])


def mbits(meters, begin, end):
    """Mbit/s of all meters together."""
    return sum(meter.bytes_between(begin, end) for meter in meters) * 8e-6 / (end - begin)


def time_to(meters, target, end):
    """Seconds until a quarter of a second was at `target` Mbit/s, or None."""
    for step in range(int(end / BIN) - 4):
        begin = step * BIN
        if mbits(meters, begin, begin + 5 * BIN) >= target:
            return begin + 5 * BIN
    return None


def set_congestion_control(sock, name):
    """CUBIC or BBR, whatever the machine's default is."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())


class Server:
    """The destination."""

    def __init__(self, host, address):
        self._meters, self._connections, self._numbers = {}, set(), 0
        self._lock = threading.Lock()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = host.socket(family=family)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((address, PORT))
        self._listener.listen(1_024)
        threading.Thread(target=self._accept, daemon=True).start()

    def meter(self):
        """A number for a stream, and what the server will have received on it."""
        with self._lock:
            self._numbers += 1
            meter = self._meters[self._numbers] = Meter()
            return self._numbers, meter

    def reset(self):
        """Closes what is still open."""
        with self._lock:
            connections, self._meters = list(self._connections), {}
        for connection in connections:
            close_at_once(connection)

    def _accept(self):
        while True:
            connection, _ = self._listener.accept()
            with self._lock:
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while line := _read_line(connection):
                operation, number, size, control = line.split()
                if control != "-":
                    set_congestion_control(connection, control)
                if operation == "D":
                    while True:
                        connection.sendall(_ZEROS)
                elif operation == "U":
                    _drain(connection, self._meters[int(number)])
                elif operation == "P":
                    while part := connection.recv(64):
                        connection.sendall(part)
                else:
                    left = int(size)
                    while left > 0:
                        left -= connection.send(_ZEROS[:min(left, CHUNK)])
        except (OSError, ValueError, KeyError):
            pass
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()


def _read_line(connection):
    line = b""
    while not line.endswith(b"\n"):
        part = connection.recv(1)
        if not part:
            return None
        line += part
    return line.decode()


def _drain(connection, meter):
    buffer = bytearray(CHUNK)
    while count := connection.recv_into(buffer):
        meter.add(count)


def close_at_once(connection):
    """Closes with a reset: what waits is thrown away."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()


def _exactly(sock, count):
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise Broken("closed while it opened")
        data += part
    return data


def connect(host, target, socks=None, control=None):
    """A connection from `host` to (address, port), through the SOCKS port if there is one."""
    family = socket.AF_INET6 if ":" in (target[0] if socks is None else "") else socket.AF_INET
    sock = host.socket(family=family)
    try:
        sock.settimeout(OPENING)
        if control:
            set_congestion_control(sock, control)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if socks is None:
            sock.connect(target)
        else:
            sock.connect(socks)
            sock.sendall(b"\5\1\0")
            if _exactly(sock, 2) != b"\5\0":
                raise Broken("refused by the proxy")
            six = ":" in target[0]
            packed = socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, target[0])
            sock.sendall(b"\5\1\0" + (b"\4" if six else b"\1") + packed + struct.pack(">H", target[1]))
            answer = _exactly(sock, 4)
            if answer[1]:
                raise Broken(f"SOCKS error {answer[1]}")
            _exactly(sock, {1: 6, 4: 18}[answer[3]])
        sock.settimeout(None)
        return sock
    except TimeoutError as error:
        sock.close()
        raise Broken(f"did not open in {OPENING} s") from error
    except (OSError, Broken) as error:
        sock.close()
        raise Broken(str(error)) from error


class Transfer:
    """A stream of an app that downloads or uploads until `close`."""

    def __init__(self, way, server, is_upload):
        self.way, self.error = way, None
        number, self.meter = server.meter()
        self._sock = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, args=(number, is_upload), daemon=True)
        self._thread.start()

    def _run(self, number, is_upload):
        try:
            self._sock = self.way.open()
            if self._closed:
                return self._sock.close()
            self._sock.sendall(f"{'U' if is_upload else 'D'} {number} 0 {self.way.control or 'cubic'}\n".encode())
            if is_upload:
                while True:
                    self._sock.sendall(_ZEROS)
            _drain(self._sock, self.meter)
            raise Broken("closed")
        except (OSError, Broken) as error:
            if not self._closed:
                self.error = str(error)

    def close(self):
        """Ends it."""
        self._closed = True
        if self._sock is not None:
            close_at_once(self._sock)
        self._thread.join(OPENING + 1)


class Pings:
    """One byte there and back on an open stream, ten a second; those that have not come back are lost."""

    def __init__(self, way, interval=0.1):
        self.times, self.sent, self.error = [], 0, None
        self._sock = way.open()
        self._sock.sendall(b"P 0 0 -\n")
        self._interval, self._begins, self._ending = interval, [], threading.Event()
        threading.Thread(target=self._receive, daemon=True).start()
        threading.Thread(target=self._send, daemon=True).start()

    def _send(self):
        try:
            while not self._ending.wait(self._interval):
                self._begins.append(time.monotonic())
                self._sock.sendall(b".")
        except OSError as error:
            self.error = str(error)

    def _receive(self):
        try:
            while part := self._sock.recv(64):
                now = time.monotonic()
                for _ in part:
                    self.times.append(now - self._begins[len(self.times)])
        except OSError as error:
            self.error = str(error)

    def close(self, patience=0):
        """Ends it after at most `patience` seconds in which the last ones may come back."""
        self._ending.set()
        deadline = time.monotonic() + patience
        while len(self.times) < len(self._begins) and time.monotonic() < deadline and self.error is None:
            time.sleep(0.05)
        self.sent = len(self._begins)
        close_at_once(self._sock)

    def milliseconds(self, part):
        """The percentile, `part` of 1; those that have not come back are the longest."""
        times = sorted(self.times) + [float("inf")] * (len(self._begins) - len(self.times))
        if not times:
            return float("inf")
        return times[min(len(times) - 1, int(part * len(times)))] * 1e3


def page(way, sizes, connections):
    """Seconds to fetch objects of these sizes over so many new connections, each taking the next object when it is free."""
    began, left, lock, errors = time.monotonic(), list(reversed(sizes)), threading.Lock(), []

    def work():
        sock = None
        try:
            sock = way.open()
            sock.settimeout(60)
            buffer = bytearray(CHUNK)
            while True:
                with lock:
                    if not left:
                        return
                    size = left.pop()
                sock.sendall(f"G 0 {size} {way.control or 'cubic'}\n".encode())
                while size > 0:
                    count = sock.recv_into(buffer, min(size, CHUNK))
                    if count == 0:
                        raise Broken("closed")
                    size -= count
        except (OSError, Broken) as error:
            errors.append(str(error))
        finally:
            if sock is not None:
                sock.close()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise Broken(errors[0])
    return time.monotonic() - began
