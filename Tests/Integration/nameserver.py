"""A DNS server with the standard library only, and DNS messages for clients of one."""
import contextlib
import socket
import struct
import threading

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "HTTPS": 65, "CAA": 257}


def labels(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def text(*strings):
    return b"".join(bytes([len(string)]) + string for string in strings)


def read_name(message, at):
    """The name at `at`, and the offset after it."""
    parts, end = [], None
    while length := message[at]:
        if length >= 0xC0:
            end = end or at + 2
            at = (length & 0x3F) << 8 | message[at + 1]
        else:
            parts.append(message[at + 1:at + 1 + length].decode())
            at += 1 + length
    return ".".join(parts), end or at + 1


def query(name, kind, id=7, edns=None, flags=0x0100):
    """A query; `edns` is the offered size of UDP messages."""
    head = struct.pack(">6H", id, flags, 1, 0, 0, 0 if edns is None else 1)
    more = b"" if edns is None else b"\0" + struct.pack(">HHIH", 41, edns, 0, 0)
    return head + labels(name) + struct.pack(">HH", TYPES.get(kind, kind), 1) + more


class Answer:
    """A decoded message: `id`, `code`, `is_cut`, `records` as (name, type, ttl, data), `errors` as (number, text) of EDNS."""

    def __init__(self, message):
        self.id, flags, questions, answers, _, more = struct.unpack(">6H", message[:12])
        self.code, self.is_cut, self.is_answer = flags & 15, bool(flags & 0x200), bool(flags & 0x8000)
        self.records, self.errors, at = [], [], 12
        for _ in range(questions):
            self.question, at = read_name(message, at)
            at += 4
        for number in range(answers + more):
            name, at = read_name(message, at)
            kind, _, ttl, length = struct.unpack(">HHIH", message[at:at + 10])
            data, at = message[at + 10:at + 10 + length], at + 10 + length
            if kind == 41:
                if data:
                    self.errors.append((struct.unpack(">H", data[4:6])[0], data[6:].decode()))
            else:
                self.records.append((name, kind, ttl, data))
        assert at == len(message), "bytes behind the message"

    @property
    def data(self):
        return [data for _, _, _, data in self.records]


def ask_udp(address, message, timeout=60):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        sock.connect(address)
        sock.send(message)
        return Answer(sock.recv(65536))


def ask_tcp(address, *messages, timeout=60):
    """The answers to messages sent at once, by their ids."""
    with socket.create_connection(address, timeout) as sock:
        sock.sendall(b"".join(struct.pack(">H", len(message)) + message for message in messages))
        stream = sock.makefile("rb")
        answers = {}
        for _ in messages:
            length, = struct.unpack(">H", stream.read(2))
            answer = Answer(stream.read(length))
            answers[answer.id] = answer
        return answers


class NameServer:
    """Answers from `zone`, {(name, type): [data…]} with CNAMEs as ("alias", "CNAME"); a context manager.

    A name that is not in it does not exist; a name whose only value is None gets no answer, and one with "fail" a server
    failure. `asked` has (name, type) in order; `port` is the server's port."""

    def __init__(self, zone, ttl=30, port=0):
        self.zone, self.ttl, self.asked = zone, ttl, []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", port))
        self.port = self.udp.getsockname()[1]
        self.tcp = socket.create_server(("127.0.0.1", self.port))

    def answer(self, message, limit):
        name, at = read_name(message, 12)
        kind, = struct.unpack(">H", message[at:at + 2])
        owner, name = name, name.lower()
        by_number = {number: text for text, number in TYPES.items()}
        self.asked.append((name, by_number.get(kind, kind)))
        records, known = b"", {key[0] for key in self.zone}
        code = 0 if name in known else 3
        count = 0
        for _ in range(8):
            found = self.zone.get((name, by_number.get(kind)), [])
            if found is None:
                return None
            if found == "fail":
                code = 2
                break
            alias = self.zone.get((name, "CNAME")) if not found else None
            for data in found or alias or []:
                wanted = kind if found else TYPES["CNAME"]
                records += (labels(name) if count else b"\xc0\x0c") + struct.pack(">HHIH", wanted, 1, self.ttl, len(data)) + data
                count += 1
            if not alias:
                break
            name, _ = read_name(alias[0], 0)
        head = message[:2] + struct.pack(">5H", 0x8580 | code, 1, count, 0, 0)
        whole = head + message[12:at + 4] + records
        if len(whole) > limit:
            return message[:2] + struct.pack(">5H", 0x8780, 1, 0, 0, 0) + message[12:at + 4]
        return whole

    def _serve_udp(self):
        while True:
            try:
                message, source = self.udp.recvfrom(4096)
                if source and (answer := self.answer(message, 512)):
                    self.udp.sendto(answer, source)
                elif not source:
                    return
            except OSError:
                if self.udp.fileno() < 0:
                    return

    def _serve_tcp(self):
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError, struct.error):
                stream = connection.makefile("rb")
                length, = struct.unpack(">H", stream.read(2))
                if answer := self.answer(stream.read(length), 65535):
                    connection.sendall(struct.pack(">H", len(answer)) + answer)

    def __enter__(self):
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.udp.shutdown(socket.SHUT_RDWR)
        for sock in (self.udp, self.tcp):
            sock.close()
