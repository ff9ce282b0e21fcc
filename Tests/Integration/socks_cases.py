"""Requests of apps to a SOCKS port, case by case, and a proxy's answers: for tests, and for comparing proxies.

A case is a list of messages, each of which a polite app sends when the one before is answered. A verdict is text such as `02 00 05`:
the method, the answer to user and password where there is one, and the reply; `closed` where the proxy closes without one. `4:` and
`http:` stand before the answers to those. What follows a success is shown by `+`, and the data by its count.
"""
import socket
import struct

NONE, USER = b"\x05\x01\x00", b"\x05\x01\x02"


def v4(text="127.0.0.1"):
    return b"\x01" + socket.inet_aton(text)


def v6(text):
    return b"\x04" + socket.inet_pton(socket.AF_INET6, text)


def name(text):
    data = text if isinstance(text, bytes) else text.encode()
    return b"\x03" + bytes([len(data)]) + data


def credentials(user, password, version=1):
    return bytes([version, len(user)]) + user + bytes([len(password)]) + password


def request(address, port, command=1, version=5, reserved=0):
    return bytes([version, command, reserved]) + address + struct.pack(">H", port)


def socks4(address, port, command=1, user=b"", host=None):
    return bytes([4, command]) + struct.pack(">H", port) + socket.inet_aton(address) + user + b"\0" + (
        host + b"\0" if host is not None else b"")


def cases(port, closed):
    """(title, messages, our verdict); `port` echoes the bytes after the line `echo`, no process listens at `closed`."""
    long = ".".join(["a" * 63] * 3 + ["b" * 53, "invalid"])
    data = b"echo\nhello"

    def connect(title, address, verdict, number=port, greeting=NONE, **options):
        return title, [greeting, request(address, number, **options), data], f"00 {verdict}"

    def method(title, greeting, verdict):
        return title, [greeting, request(v4(), port), data], verdict

    def user(title, message, verdict):
        return title, [USER, message, request(v4(), port), data], verdict

    yield connect("connect to an IPv4 address", v4(), "00 +5")
    yield connect("connect to a name", name("localhost"), "00 +5")
    yield connect("a name in capitals", name("LOCALHOST"), "00 +5")
    yield connect("a name with a final dot", name("localhost."), "00 +5")
    yield connect("a name that spells an IPv4 address", name("127.0.0.1"), "00 +5")
    yield connect("an IPv4 address mapped to IPv6", v6("::ffff:127.0.0.1"), "00 +5")
    yield connect("a port where nobody listens", v4(), "05", closed)
    yield connect("an IPv6 port where nobody listens", v6("::1"), "05", closed)
    yield connect("a name that spells an IPv6 address", name("[::1]"), "05", closed)
    yield connect("a name that does not exist", name("no-such-host.invalid"), "04")
    yield connect("a name of 253 bytes", name(long[-253:]), "04")
    yield connect("a name of 255 bytes", name(("a." * 128)[:255]), "01")
    yield connect("an IDN in its ASCII form", name("xn--bcher-kva.invalid"), "04")
    yield connect("a name of one label with an underscore", name("_x.invalid"), "04")
    yield connect("a name of a node", name("y" * 52 + ".snode"), "04")
    yield connect("an onion name", name("x" * 56 + ".onion"), "04")
    yield connect("an onion name with a dot", name("www." + "x" * 56 + ".onion"), "04")
    yield connect("a private address", v4("10.0.0.1"), "02")
    yield connect("the unspecified address", v4("0.0.0.0"), "02")
    yield connect("a multicast address", v6("ff02::1"), "02")
    yield connect("port 25", v4(), "02", 25)
    yield connect("port 0", v4(), "01", 0)
    yield connect("an empty name", name(""), "01")
    yield connect("a name with a NUL", name(b"local\0host"), "01")
    yield connect("a name with a space", name("local host"), "01")
    yield connect("a name with a line break", name("local\nhost"), "01")
    yield connect("a name in UTF-8", name("bücher.invalid"), "01")
    yield connect("a name in Latin-1", name(b"b\xfccher.invalid"), "01")
    yield connect("a name with an empty label", name("a..invalid"), "01")
    yield connect("a name that begins with a dot", name(".invalid"), "01")
    yield connect("a label of 64 bytes", name("a" * 64 + ".invalid"), "01")
    yield connect("an IPv6 address with a zone as a name", name("fe80::1%lo"), "01")
    yield connect("half an IPv4 address as a name", name("127.1"), "01")
    yield connect("a hexadecimal address as a name", name("0x7f.1"), "01")
    yield connect("an impossible IPv4 address as a name", name("256.0.0.1"), "01")
    yield connect("request of version 4", v4(), "01", version=4)
    yield connect("request of version 0", v4(), "01", version=0)
    yield connect("reserved byte 1", v4(), "01", reserved=1)
    yield connect("reserved byte 255", v4(), "01", reserved=255)
    yield connect("command 0", v4(), "07", command=0)
    yield connect("command 4", v4(), "07", command=4)
    yield connect("command 255", v4(), "07", command=255)
    yield connect("BIND", v4(), "07", command=2)
    yield connect("UDP ASSOCIATE", v4("0.0.0.0"), "00", 0, command=3)
    yield connect("RESOLVE of a name", name("localhost"), "00", 0, command=0xF0)
    yield connect("RESOLVE of an address", v4(), "00", 0, command=0xF0)
    yield connect("RESOLVE of no name", name("no-such-host.invalid"), "04", 0, command=0xF0)
    yield connect("RESOLVE_PTR", v4(), "00", 0, command=0xF1)
    yield connect("RESOLVE_PTR of a name", name("localhost"), "08", 0, command=0xF1)
    for number in (0, 2, 5, 255):
        yield connect(f"address type {number}", bytes([number]) + bytes(4), "08")

    yield method("no methods", b"\x05\x00", "ff")
    yield method("255 methods, none of them ours", b"\x05\xff" + bytes(range(3, 0x82)) + bytes(range(3, 0x83)), "ff")
    yield method("255 methods, the last of them none", b"\x05\xff" + bytes([9] * 254) + b"\0", "00 00 +5")
    yield method("255 times none", b"\x05\xff" + bytes(255), "00 00 +5")
    yield method("GSSAPI alone", b"\x05\x01\x01", "ff")
    yield method("a private method alone", b"\x05\x01\x80", "ff")
    yield method("GSSAPI and none", b"\x05\x02\x01\x00", "00 00 +5")
    yield user("user and password", credentials(b"user", b"password"), "02 00 00 +5")
    yield user("an empty user", credentials(b"", b"password"), "02 00 00 +5")
    yield user("an empty password", credentials(b"user", b""), "02 00 00 +5")
    yield user("both empty", credentials(b"", b""), "02 00 00 +5")
    yield user("255 bytes of each", credentials(b"\xff" * 255, b"\0" * 255), "02 00 00 +5")
    yield user("user and password of version 5", credentials(b"user", b"password", version=5), "02 01")
    yield user("user and password of version 0", credentials(b"user", b"password", version=0), "02 01")
    yield "none and user offered", [
        b"\x05\x02\x00\x02", credentials(b"user", b"password"), request(v4(), port), data], "02 00 00 +5"

    yield "SOCKS4", [socks4("127.0.0.1", port), data], "4:90 +5"
    yield "SOCKS4 with a user", [socks4("127.0.0.1", port, user=b"someone"), data], "4:90 +5"
    yield "SOCKS4a", [socks4("0.0.0.1", port, host=b"localhost"), data], "4:90 +5"
    yield "SOCKS4a of no name", [socks4("0.0.0.1", port, host=b"no-such-host.invalid"), data], "4:91"
    yield "SOCKS4a with an empty name", [socks4("0.0.0.1", port, host=b""), data], "4:91"
    yield "SOCKS4 BIND", [socks4("127.0.0.1", port, command=2)], "4:91"
    yield "SOCKS4 command 3", [socks4("127.0.0.1", port, command=3)], "4:91"
    yield "SOCKS4 to port 0", [socks4("127.0.0.1", 0)], "4:91"
    yield "SOCKS4 to where nobody listens", [socks4("127.0.0.1", closed)], "4:91"
    yield "SOCKS4 with a user of 256 bytes", [socks4("127.0.0.1", port, user=b"u" * 256)], "4:91"

    yield "version 0", [b"\x00\x01\x00"], "closed"
    yield "version 6", [b"\x06\x01\x00"], "closed"
    yield "TLS", [b"\x16\x03\x01\x00\xa5\x01"], "closed"
    yield "HTTP in small letters", [b"get / http/1.1\r\n\r\n"], "closed"
    yield "HTTP GET", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"], "http:405"
    yield "HTTP CONNECT", [b"CONNECT localhost:%d HTTP/1.1\r\nHost: x\r\n\r\n" % port, data], "http:200 +5"
    yield "half a greeting", [b"\x05\x02\x00"], "closed"
    yield "half of user and password", [USER, b"\x01\x04us"], "02 closed"
    yield "half a request", [NONE, b"\x05\x01\x00\x01\x7f\x00"], "00 closed"


class Reader:
    """Reads a proxy's answers from a socket: complete ones, or the bytes so far when it closes or is silent."""

    def __init__(self, sock, silence):
        self.sock, self.held, self.is_over = sock, b"", False
        sock.settimeout(silence)

    def fill(self, count):
        while len(self.held) < count and not self.is_over:
            try:
                part = self.sock.recv(4096)
            except (TimeoutError, ConnectionError):
                part = b""
            self.is_over = not part
            self.held += part
        return len(self.held) >= count

    def take(self, count):
        if not self.fill(count):
            return None
        part, self.held = self.held[:count], self.held[count:]
        return part

    def answer(self, message):
        """The words for the next answer to a conversation that began with `message`; whether the conversation continues."""
        if message[0] == 4:
            reply = self.take(8)
            return (f"4:{reply[1]}", reply[1] == 90) if reply else ("closed", False)
        if not self.fill(12):
            return "closed", False
        while b"\r\n\r\n" not in self.held and self.fill(len(self.held) + 1):
            pass
        head, _, self.held = self.held.partition(b"\r\n\r\n")
        code = head.split()[1].decode()
        return f"http:{code}", code == "200"


def converse(proxy, messages, mode, silence=8.0, closes=True):
    """The verdict on a conversation: `polite`, `bytes` (one at a time, not waiting for anything) or `pipelined` (all at once)."""
    with socket.create_connection(proxy, timeout=60) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        rest = list(messages)

        def send_next():
            if mode == "polite" and rest:
                try:
                    sock.sendall(rest.pop(0))
                except OSError:
                    rest.clear()
            if closes and (mode != "polite" or not rest):
                try:
                    sock.shutdown(socket.SHUT_WR)
                except OSError:
                    pass

        try:
            if mode == "pipelined":
                sock.sendall(b"".join(messages))
            elif mode == "bytes":
                for byte in b"".join(messages):
                    sock.sendall(bytes([byte]))
        except OSError:
            pass
        send_next()
        return verdict(Reader(sock, silence), messages, send_next)


def verdict(reader, messages, send_next):
    words = []
    first = messages[0][0]
    if first == 5:
        method = reader.take(2)
        if not method:
            return "closed"
        words.append(f"{method[1]:02x}")
        if method[1] == 0xFF:
            return " ".join(words)
        send_next()
        if method[1] == 2:
            answer = reader.take(2)
            if not answer:
                return " ".join([*words, "closed"])
            words.append("00" if answer[1] == 0 else "01")
            if answer[1]:
                return " ".join(words)
            send_next()
        head = reader.take(4)
        if not head:
            return " ".join([*words, "closed"])
        words.append(f"{head[1]:02x}")
        size = {1: 4, 4: 16}.get(head[3])
        if size is None:
            size = (reader.take(1) or b"\0")[0]
        reader.take(size + 2)
        goes_on = head[1] == 0
    elif first == 4 or 0x41 <= first <= 0x5A:
        word, goes_on = reader.answer(messages[0])
        words.append(word)
    else:
        return "closed" if not reader.fill(1) else "answers"
    if goes_on and messages[-1].startswith(b"echo\n"):
        is_connection = first != 5 or all(message[:2] not in (b"\x05\x03", b"\x05\xf0", b"\x05\xf1") for message in messages)
        if is_connection:
            send_next()
            data = reader.take(5)
            words.append(f"+{len(data) if data else 0}")
    return " ".join(words)
