"""The protocols that apps can use with the client in addition to SOCKS5, each with a real client."""
import http.server
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

from devnet import Devnet, answers, ask, binary, wait_until
from peers import Peer, read_exactly

PAGE = os.urandom(60_000)


def is_named():
    """Whether this machine's hosts file has 127.0.0.1 as localhost; that of a small system does not."""
    try:
        with open("/etc/hosts") as hosts:
            return next((words[1] for words in map(str.split, hosts) if words[:1] == ["127.0.0.1"]), "") == "localhost"
    except FileNotFoundError:
        return False


NAMED = is_named()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_):
        pass


def read_all(sock):
    data = b""
    while part := sock.recv(65536):
        data += part
    return data


class FrontDoors(unittest.TestCase):
    """One network for all."""

    @classmethod
    def setUpClass(cls):
        cls.net = cls.enterClassContext(Devnet())
        cls.peer = cls.enterClassContext(Peer())
        cls.server = cls.enterClassContext(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        cls.addClassCleanup(cls.server.shutdown)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.port = cls.server.server_port
        cls.proxy = "%s:%d" % cls.net.socks
        cls.network = os.path.join(os.path.dirname(os.path.dirname(cls.net.control)), "network.json")

    def curl(self, *arguments):
        return subprocess.run(
            ["curl", "-sS", "--max-time", "30", "--noproxy", "", *arguments], capture_output=True)

    def fetch(self, *arguments):
        done = self.curl(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, PAGE)

    def connect(self, early=b""):
        sock = socket.create_connection(self.net.socks, timeout=40)
        self.addCleanup(sock.close)
        sock.sendall(early)
        return sock

    def test_socks4a_resolves_at_the_exit(self):
        self.fetch("--socks4a", self.proxy, f"http://localhost:{self.port}/")
        self.fetch("--proxy", f"socks4a://someone@{self.proxy}", f"http://localhost:{self.port}/")

    def test_socks4_takes_an_address(self):
        self.fetch("--socks4", self.proxy, f"http://127.0.0.1:{self.port}/")

    def test_socks4_says_91(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            for command, port in [(1, closed.getsockname()[1]), (2, self.peer.port), (1, 0), (0xFF, 80)]:
                with self.subTest(command=command, port=port):
                    request = bytes([4, command]) + port.to_bytes(2, "big") + b"\x7f\0\0\1\0"
                    self.assertEqual(read_all(self.connect(request)), b"\0\x5b\0\0\0\0\0\0")

    def test_http_connect(self):
        for target in ("localhost", "127.0.0.1"):
            self.fetch("--proxytunnel", "--proxy", f"http://{self.proxy}", f"http://{target}:{self.port}/")

    def test_http_connect_with_user_and_password_has_a_path_of_its_own(self):
        before = self.net.status()["sessions"]
        for user in ("alice:one", "bob:two", "alice:one"):
            self.fetch(
                "--proxytunnel", "--proxy", f"http://{self.proxy}", "--proxy-user", user,
                f"http://localhost:{self.port}/")
        self.assertEqual(self.net.status()["sessions"], before + 2)

    def test_http_connect_answers_with_the_exits_real_errors(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            for target, status in [
                (f"127.0.0.1:{closed.getsockname()[1]}", b"502"),  # refused
                ("no-such-host.invalid:80", b"502"),
                ("10.0.0.1:80", b"403"),  # not allowed by the exit's policy
                ("127.0.0.1:0", b"400"),
                ("127.0.0.1", b"400"),
            ]:
                with self.subTest(target=target):
                    sock = self.connect(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
                    answer = read_all(sock)
                    self.assertEqual(answer.split()[1], status)
                    self.assertIn(b"\r\nConnection: close\r\n", answer)

    def test_http_connect_carries_early_data_once(self):
        body = os.urandom(30_000)
        head = f"CONNECT 127.0.0.1:{self.peer.port} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        sock = self.connect(head + b"echo\n" + body)
        answer = b"HTTP/1.1 200 Connection established\r\n\r\n"
        self.assertEqual(read_exactly(sock, len(answer)), answer)
        self.assertEqual(read_exactly(sock, len(body)), body)
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(sock.recv(1), b"")

    def test_a_head_byte_by_byte(self):
        sock = self.connect()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in f"CONNECT localhost:{self.peer.port} HTTP/1.0\r\n\r\nget 100\n".encode():
            sock.sendall(bytes([byte]))
        answer = read_all(sock)
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "))
        self.assertEqual(len(answer.partition(b"\r\n\r\n")[2]), 100)

    def test_l8_look_ups_are_the_exits(self):
        home = b"\x7f\0\0\1"
        for request, answer in [
            (b"\5\1\0\5\xf0\0\3\x09localhost\0\0", b"\5\0\5\0\0\1" + home + b"\0\0"),
            (b"\5\1\0\5\xf0\0\3\x14no-such-host.invalid\0\0", b"\5\0\5\4\0\1" + bytes(6)),
            (b"\5\1\0\5\xf0\0\1" + home + b"\0\0", b"\5\0\5\0\0\1" + home + b"\0\0"),
            *([(b"\5\1\0\5\xf1\0\1" + home + b"\0\0", b"\5\0\5\0\0\3\x09localhost\0\0")] if NAMED else []),
            (b"\5\1\0\5\xf1\0\1\x0a\0\0\1\0\0", b"\5\0\5\2\0\1" + bytes(6)),
            (b"\4\xf0\0\0\0\0\0\1\0localhost\0", b"\0\x5a\0\0" + home),
        ]:
            with self.subTest(request=request):
                self.assertEqual(read_all(self.connect(request)), answer)

    @unittest.skipUnless(shutil.which("tor-resolve"), "needs tor-resolve")
    def test_l8_look_ups_by_tor_resolve(self):
        def resolve(*arguments):
            return subprocess.run(["tor-resolve", *arguments, self.proxy], capture_output=True, text=True, timeout=30)

        self.assertEqual(resolve("localhost").stdout.strip(), "127.0.0.1")
        self.assertEqual(resolve("-4", "localhost").stdout.strip(), "127.0.0.1")
        if NAMED:
            self.assertEqual(resolve("-x", "127.0.0.1").stdout.strip(), "localhost")
        for arguments in (["no-such-host.invalid"], ["-4", "no-such-host.invalid"], ["-x", "10.0.0.1"]):
            with self.subTest(arguments=arguments):
                failed = resolve(*arguments)
                self.assertNotEqual(failed.returncode, 0)
                self.assertEqual(failed.stdout, "")

    def test_l2_a_web_page_gets_a_sentence_and_nothing_happens(self):
        wait_until(lambda: self.net.status()["streams"] == 0)
        tunnel = f"CONNECT 127.0.0.1:{self.peer.port} HTTP/1.0\r\n\r\n"
        for arguments in (
            ["--noproxy", "*", f"http://{self.proxy}/"],
            ["--noproxy", "*", "-H", "Host: evil.example", f"http://{self.proxy}/"],
            ["--noproxy", "*", "--data-binary", tunnel, f"http://{self.proxy}/"],
            ["--noproxy", "*", "-X", "OPTIONS", "-H", "Origin: https://evil.example", f"http://{self.proxy}/"],
        ):
            with self.subTest(arguments=arguments):
                done = self.curl("--include", *arguments)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn(b"HTTP/1.1 405 ", done.stdout)
                self.assertIn(b"has no pages", done.stdout)
                self.assertIn(b"\r\nConnection: close\r\n", done.stdout)
                self.assertNotIn(b"Access-Control", done.stdout)
        self.assertEqual(self.net.status()["streams"], 0)

    def test_l2_other_protocols_are_closed_without_an_answer(self):
        for first in (b"\x16\x03\x01\x02\x00", b"\x00\x01\x00\x00", b"get / HTTP/1.1\r\n\r\n"):
            with self.subTest(first=first):
                try:
                    self.assertEqual(read_all(self.connect(first)), b"")
                except ConnectionResetError:
                    pass

    def second_client(self, *sockets):
        """A client of the same network with these listen addresses, once it is ready; it ends with the test."""
        folder = tempfile.TemporaryDirectory(prefix="tunic-test-")
        self.addCleanup(folder.cleanup)
        os.chmod(folder.name, 0o700)
        client = subprocess.Popen(
            [binary(), "client", "--network", self.network, "--data", folder.name,
             *(part for name in sockets for part in ("--socks", name))],
            stderr=subprocess.PIPE, text=True)

        def end():
            client.kill()
            client.wait()
            client.stderr.close()

        self.addCleanup(end)
        client.control = os.path.join(folder.name, "control.sock")
        return client

    def test_several_addresses_are_apart_and_a_unix_socket_is_ours_alone(self):
        with tempfile.TemporaryDirectory(prefix="tunic-test-") as folder:
            path = os.path.join(folder, "apps.sock")
            client = self.second_client(f"unix:{path}", "127.0.0.1:0", "127.0.0.1:0")
            wait_until(lambda: answers(client.control))
            wait_until(lambda: ask(client.control, "status")["ready"])
            unix, one, two = ask(client.control, "status")["socks"]
            self.assertEqual(unix, f"unix:{path}")
            self.assertEqual(os.stat(path).st_mode & 0o7777, 0o600)

            page = f"http://localhost:{self.port}/"
            # One session for each address, and one more for a second protocol on the unix socket.
            self.fetch("--proxy", f"socks5h://localhost{path}", page)
            self.assertEqual(ask(client.control, "status")["sessions"], 1)
            self.fetch("--socks4a", one, page)
            self.fetch("--socks4a", two, page)
            self.fetch("--socks4a", two, page)
            self.assertEqual(ask(client.control, "status")["sessions"], 3)
            exchange = socket.socket(socket.AF_UNIX)
            self.addCleanup(exchange.close)
            exchange.settimeout(60)
            exchange.connect(path)
            exchange.sendall(f"CONNECT localhost:{self.peer.port} HTTP/1.0\r\n\r\nget 100\n".encode())
            self.assertEqual(len(read_all(exchange).partition(b"\r\n\r\n")[2]), 100)
            self.assertEqual(ask(client.control, "status")["sessions"], 4)
            active = [tuple(found["hops"]) for found in ask(client.control, "paths")["paths"] if found["active"]]
            self.assertEqual(len(active), 4)

            # The socket of a running process is refused, and that of a dead process is replaced. A process that ends
            # removes its socket.
            other = self.second_client(f"unix:{path}")
            self.assertEqual(other.wait(60), 69)
            self.assertIn(path, other.stderr.read())
            client.kill()
            client.wait()
            self.assertTrue(os.path.exists(path))
            third = self.second_client(f"unix:{path}")
            wait_until(lambda: answers(third.control))
            wait_until(lambda: ask(third.control, "status")["ready"])
            self.fetch("--proxy", f"socks5h://localhost{path}", page)
            third.send_signal(signal.SIGTERM)
            self.assertEqual(third.wait(60), 0)
            self.assertFalse(os.path.exists(path))


if __name__ == "__main__":
    unittest.main()
