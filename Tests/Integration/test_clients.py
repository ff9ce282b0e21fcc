"""Programs as people use them, through the proxy; each test is skipped if its program is not installed."""
import http.server
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest

from devnet import Devnet

PAGE = os.urandom(40_000)
HERE = os.path.dirname(os.path.abspath(__file__))


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if not self.path.startswith("/page"):
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_):
        pass


def python_with(*modules):
    """A Python that has the modules, or None."""
    for python in (sys.executable, "/usr/bin/python3", f"{HERE}/../../.build-venv/bin/python"):
        if not os.path.exists(python):
            continue
        if subprocess.run([python, "-c", f"import {','.join(modules)}"], capture_output=True).returncode == 0:
            return python
    return None


class Clients(unittest.TestCase):
    """One network for all."""

    @classmethod
    def setUpClass(cls):
        cls.net = cls.enterClassContext(Devnet())
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="tunic-test-"))
        cls.server = cls.enterClassContext(http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), lambda *arguments: Handler(*arguments, directory=cls.folder)))
        cls.addClassCleanup(cls.server.shutdown)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.proxy = "%s:%d" % cls.net.socks
        # The exit resolves `localhost`; in these tests it is a name of this machine in any case.
        cls.page = f"http://localhost:{cls.server.server_port}/page"

    def run_program(self, *command, timeout=60, **options):
        environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        environment |= options.pop("env", {})
        done = subprocess.run(command, capture_output=True, timeout=timeout, env=environment, **options)
        self.assertEqual(done.returncode, 0, done.stderr.decode(errors="replace")[-2000:])
        return done.stdout

    @unittest.skipUnless(shutil.which("curl"), "needs curl")
    def test_curl_by_every_proxy_protocol_it_has(self):
        for proxy in ("socks5", "socks5h", "socks4a", "socks4", "socks5h://user:password", "http://user:password"):
            scheme, _, credentials = proxy.partition("://")
            url = f"{scheme}://{credentials}@{self.proxy}" if credentials else f"{scheme}://{self.proxy}"
            with self.subTest(proxy=proxy):
                page = self.page.replace("localhost", "127.0.0.1") if proxy == "socks4" else self.page
                tunnel = ["--proxytunnel"] if scheme == "http" else []
                self.assertEqual(self.run_program("curl", "-sS", *tunnel, "--noproxy", "", "--proxy", url, page), PAGE)

    def python(self, modules, program):
        python = python_with(*modules)
        if not python:
            self.skipTest(f"no Python has {', '.join(modules)}")
        return self.run_program(python, "-c", program, self.proxy, self.page)

    def test_pysocks(self):
        self.assertEqual(self.python(["socks"], """
import socks, sys
host, _, port = sys.argv[1].rpartition(":")
to = int(sys.argv[2].split(":")[2].split("/")[0])
kinds = [(socks.SOCKS5, "localhost"), (socks.SOCKS4, "localhost"), (socks.HTTP, "localhost"), (socks.SOCKS5, "127.0.0.1")]
for kind, name in kinds:
    connection = socks.socksocket()
    connection.set_proxy(kind, host, int(port), rdns=True, username="user", password="password" if kind != socks.SOCKS4 else None)
    connection.settimeout(30)
    connection.connect((name, to))
    connection.sendall(b"GET /page HTTP/1.0\\r\\n\\r\\n")
    body = b""
    while part := connection.recv(65536):
        body += part
    body = body.partition(b"\\r\\n\\r\\n")[2]
sys.stdout.buffer.write(body)
"""), PAGE)

    def test_pysocks_by_udp(self):
        from udp import UDPServer
        with UDPServer() as echo:
            python = python_with("socks")
            if not python:
                self.skipTest("no Python has socks")
            answer = self.run_program(python, "-c", """
import socket, socks, sys
host, _, port = sys.argv[1].rpartition(":")
datagrams = socks.socksocket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.set_proxy(socks.SOCKS5, host, int(port))
datagrams.settimeout(30)
for name in ("127.0.0.1", "localhost"):
    datagrams.sendto(b"ping " + name.encode(), (name, int(sys.argv[2])))
    data, source = datagrams.recvfrom(1000)
    host = source[0] if isinstance(source[0], str) else source[0].decode()
    print(data.decode(), host, source[1] == int(sys.argv[2]))
""", self.proxy, str(echo.port)).decode().split("\n")
            self.assertEqual(answer, ["ping 127.0.0.1 127.0.0.1 True", "ping localhost localhost True", ""])

    def test_requests(self):
        self.assertEqual(self.python(["requests", "socks"], """
import requests, sys
for scheme in ("socks5", "socks5h", "socks4a"):
    # By "socks5" the name is looked up here, where it may be ::1 as well, at which nobody listens.
    page = sys.argv[2].replace("localhost", "127.0.0.1") if scheme == "socks5" else sys.argv[2]
    answer = requests.get(page, proxies={"http": f"{scheme}://{sys.argv[1]}"}, timeout=30)
    answer.raise_for_status()
sys.stdout.buffer.write(answer.content)
"""), PAGE)

    def test_aiohttp_socks(self):
        self.assertEqual(self.python(["aiohttp", "aiohttp_socks"], """
import aiohttp, aiohttp_socks, asyncio, sys
async def main():
    for scheme in ("socks5", "socks4", "http"):
        connector = aiohttp_socks.ProxyConnector.from_url(f"{scheme}://{sys.argv[1]}", rdns=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            bodies = await asyncio.gather(*[fetch(session) for _ in range(8)])
    sys.stdout.buffer.write(bodies[0])
async def fetch(session):
    async with session.get(sys.argv[2]) as answer:
        return await answer.read()
asyncio.run(main())
"""), PAGE)

    @unittest.skipUnless(shutil.which("proxychains4"), "needs proxychains4")
    def test_proxychains(self):
        host, port = self.net.socks
        file = f"{self.folder}/proxychains.conf"
        for kind in ("socks5", "socks4", "http"):
            with open(file, "w") as config:
                config.write(f"strict_chain\nquiet_mode\nproxy_dns\nlocalnet 255.255.255.255/32\n[ProxyList]\n{kind} {host} {port}\n")
            # The page's address in place of its name.
            program = ["proxychains4", "-q", "-f", file, "curl", "-sS", "--noproxy", "*"]
            with self.subTest(kind=kind):
                self.assertEqual(self.run_program(*program, self.page.replace("localhost", "127.0.0.1")), PAGE)

    @unittest.skipUnless(shutil.which("git") and shutil.which("curl"), "needs git")
    def test_git(self):
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
        work = f"{self.folder}/work"
        self.run_program(*git, "init", "-q", work)
        with open(f"{work}/file", "wb") as file:
            file.write(PAGE)
        self.run_program(*git, "-C", work, "add", "file")
        self.run_program(*git, "-C", work, "commit", "-qm", "one")
        self.run_program(*git, "clone", "-q", "--bare", work, f"{self.folder}/served.git")
        self.run_program(*git, "-C", f"{self.folder}/served.git", "update-server-info")
        url = f"http://localhost:{self.server.server_port}/served.git"
        for scheme in ("socks5h", "http"):
            target = f"{self.folder}/clone-{scheme}"
            self.run_program(*git, "-c", f"http.proxy={scheme}://{self.proxy}", "clone", "-q", url, target)
            with open(f"{target}/file", "rb") as file:
                self.assertEqual(file.read(), PAGE)

    def test_quic(self):
        python = python_with("aioquic", "cryptography")
        if not python:
            self.skipTest("no Python has aioquic")
        host, port = self.net.socks
        answer = self.run_program(python, f"{HERE}/quic.py", host, str(port), "300000", env={"PYTHONPATH": HERE})
        self.assertEqual(answer, b"ok 300000\n")


if __name__ == "__main__":
    unittest.main()
