"""UDP by a SOCKS5 proxy (RFC 1928, section 7), and the UDP servers behind the exit, with the standard library only."""
import contextlib
import socket
import struct
import threading

from peers import SocksError, read_exactly


def encode(host, port):
    """A destination in SOCKS5's encoding."""
    for kind, family in ((1, socket.AF_INET), (4, socket.AF_INET6)):
        with contextlib.suppress(OSError):
            return bytes([kind]) + socket.inet_pton(family, host) + struct.pack(">H", port)
    return b"\x03" + bytes([len(host)]) + host.encode() + struct.pack(">H", port)


def decode(data):
    """(host, port, rest) of bytes that begin with a destination."""
    kind = data[0]
    if kind == 3:
        end = 2 + data[1]
        host = data[2:end].decode()
    else:
        end = {1: 5, 4: 17}[kind]
        host = socket.inet_ntop({1: socket.AF_INET, 4: socket.AF_INET6}[kind], data[1:end])
    return host, struct.unpack(">H", data[end:end + 2])[0], data[end + 2:]


class Association:
    """A UDP association, a context manager. `relay` is the address for its datagrams, `tcp` the connection that keeps it open."""

    def __init__(self, proxy, user=None, expected=("0.0.0.0", 0), timeout=60, source="127.0.0.1"):
        self.tcp = socket.create_connection(proxy, timeout=timeout)
        self.udp = None
        try:
            self.tcp.sendall(b"\x05\x01" + (b"\x00" if user is None else b"\x02"))
            read_exactly(self.tcp, 2)
            if user is not None:
                self.tcp.sendall(b"\x01" + bytes([len(user)]) + user.encode() + b"\x01x")
                read_exactly(self.tcp, 2)
            self.tcp.sendall(b"\x05\x03\x00" + encode(*expected))
            reply = read_exactly(self.tcp, 4)
            if reply[1]:
                raise SocksError(reply[1])
            rest = read_exactly(self.tcp, {1: 6, 4: 18}[reply[3]])
            self.relay = decode(reply[3:] + rest)[:2]
            self.udp = socket.socket(socket.AF_INET6 if ":" in self.relay[0] else socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind((source if ":" not in self.relay[0] else "::1", 0))
            self.udp.settimeout(timeout)
        except BaseException:
            self.close()
            raise

    def send(self, host, port, data, head=b"\0\0\0"):
        self.udp.sendto(head + encode(host, port) + data, self.relay)

    def receive(self, timeout=None):
        """(host, port, data) of the next datagram; TimeoutError without one."""
        if timeout is not None:
            self.udp.settimeout(timeout)
        data, source = self.udp.recvfrom(65536)
        assert source[:2] == self.relay, source
        assert data[:3] == b"\0\0\0", data[:3]
        return decode(data[3:])

    def exchange(self, host, port, data, tries=5, timeout=4):
        """Sends until an answer comes, as UDP applications must."""
        for _ in range(tries):
            self.send(host, port, data)
            with contextlib.suppress(TimeoutError):
                return self.receive(timeout)
        raise TimeoutError(f"no answer to {tries} datagrams")

    def ended(self, timeout=60):
        """Waits until the proxy has closed the TCP connection."""
        self.tcp.settimeout(timeout)
        try:
            return self.tcp.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.tcp.close()
        if self.udp:
            self.udp.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class UDPServer(threading.Thread):
    """Answers each datagram with `answer(datagram)` (None: no answer), by default the same bytes; a context manager. `seen` has
    the received (datagram, source) pairs, `port` is its port at `host`. `late(data, to)` sends from it whenever it is called."""

    def __init__(self, answer=lambda data: data, host="127.0.0.1", port=0):
        super().__init__(daemon=True)
        self.answer, self.host = answer, host
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, port))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.port = self.socket.getsockname()[1]
        self.seen = []

    def run(self):
        while True:
            try:
                data, source = self.socket.recvfrom(65536)
                if source is None:
                    return
                self.seen.append((data, source))
                answer = self.answer(data)
                if answer is not None:
                    self.socket.sendto(answer, source)
            except OSError:
                if self.socket.fileno() < 0:
                    return

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
