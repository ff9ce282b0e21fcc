"""Plain http through the HTTP proxy."""

import http.server
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import unittest

from devnet import Devnet
from served import Echo, Served


class HTTPProxy(unittest.TestCase):
    """Plain http through the HTTP proxy."""

    @classmethod
    def setUpClass(cls):
        cls.net = cls.enterClassContext(Devnet(nodes=4, exits=1, hops=2))
        cls.echo = cls.enterClassContext(Served(Echo))
        cls.proxy = "%s:%d" % cls.net.socks
        cls.url = f"http://127.0.0.1:{cls.echo.port}/page"

    def curl(self, *arguments):
        environment = {**os.environ, "http_proxy": f"http://{self.proxy}"}
        environment.pop("no_proxy", None)
        return subprocess.run(["curl", "-sS", "--max-time", "40", *arguments], capture_output=True, text=True, env=environment)

    def raw(self, data):
        with socket.create_connection(self.net.socks, timeout=30) as sock:
            sock.sendall(data)
            answer = b""
            while part := sock.recv(65536):
                answer += part
            return answer

    def test_u1_curl_by_http_proxy(self):
        got = self.curl(self.url)
        self.assertEqual((got.returncode, got.stderr), (0, ""))
        lines = got.stdout.splitlines()
        self.assertEqual(lines[0], "GET /page HTTP/1.1")
        self.assertIn(f"Host: 127.0.0.1:{self.echo.port}", lines)
        self.assertIn("Connection: close", lines)
        self.assertNotIn("Proxy-Connection", got.stdout)

    def test_u1_bodies_by_length_and_in_pieces(self):
        body = "x" * 100_000
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(body)
            file.flush()
            for extra in ([], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]):
                with self.subTest(extra=extra):
                    got = self.curl(*extra, "--data-binary", f"@{file.name}", self.url)
                    self.assertEqual(got.returncode, 0, got.stderr)
                    self.assertTrue(got.stdout.endswith("\n\n" + body))

    def test_u1_other_methods(self):
        head = self.curl("--head", self.url)
        self.assertIn("200 OK", head.stdout)
        self.assertIn("PUT /page", self.curl("-X", "PUT", "--data", "1", self.url).stdout)
        self.assertIn("OPTIONS * HTTP/1.1", self.curl("-X", "OPTIONS", "--request-target", f"http://127.0.0.1:{self.echo.port}", self.url).stdout)

    def test_u1_two_requests_of_one_connection_go_where_each_says(self):
        """The first answer closes the connection, so that an app connects again; the second request cannot use it."""
        with Served(Echo) as other:
            first = f"GET {self.url} HTTP/1.1\r\nHost: x\r\n\r\n"
            second = f"GET http://127.0.0.1:{other.port}/secret HTTP/1.1\r\nHost: x\r\n\r\n"
            answer = self.raw((first + second).encode())
            self.assertEqual(answer.count(b"HTTP/1.1 200"), 1)
            self.assertNotIn(b"secret", answer)
            got = self.curl(self.url, f"http://127.0.0.1:{other.port}/other")
            self.assertIn("GET /page", got.stdout)
            self.assertIn("GET /other", got.stdout)

    def test_u1_what_could_be_read_in_two_ways_is_refused(self):
        for fields, body in (
            ("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            ("Transfer-Encoding: chunked, x\r\n", ""), ("X: a\r\n b\r\n", ""), ("X : a\r\n", ""), ("Host: y\r\n", ""),
        ):
            with self.subTest(fields=fields):
                answer = self.raw(f"POST {self.url} HTTP/1.1\r\nHost: x\r\n{fields}\r\n{body}".encode())
                self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)
        answer = self.raw(f"POST {self.url} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode())
        self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)

    def test_u1_errors_are_the_proxys_own(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            for url, code in ((f"http://127.0.0.1:{closed.getsockname()[1]}/", "502"), ("http://10.0.0.1/", "403"),
                              ("http://x.invalid/", "502"), ("https://a.example/", "405")):
                with self.subTest(url=url):
                    answer = self.raw(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                    self.assertEqual(answer.split()[1].decode(), code)

    def test_l2_a_page_cannot_ask_for_a_url(self):
        """A page's request to the port names a path; its body and fields are not read."""
        inner = f"GET {self.url} HTTP/1.1\r\nHost: x\r\n\r\n"
        before = self.net.status()["streams"]
        for data in (
            f"POST / HTTP/1.1\r\nHost: {self.proxy}\r\nContent-Length: {len(inner)}\r\n\r\n{inner}",
            f"GET /{self.url} HTTP/1.1\r\nHost: {self.proxy}\r\n\r\n{inner}",
            f"GET //127.0.0.1:{self.echo.port}/page HTTP/1.1\r\nHost: 127.0.0.1:{self.echo.port}\r\n\r\n",
            f"GET / HTTP/1.1\r\nHost: {self.url}\r\nReferer: {self.url}\r\n\r\n",
        ):
            with self.subTest(data=data):
                answer = self.raw(data.encode())
                self.assertTrue(answer.startswith(b"HTTP/1.1 405 "))
                self.assertNotIn(b"GET /page", answer)
        self.assertEqual(self.net.status()["streams"], before)

    @unittest.skipUnless(shutil.which("wget"), "needs wget")
    def test_u1_wget(self):
        got = subprocess.run(
            ["wget", "-q", "-O", "-", "--tries=1", "--timeout=40", self.url], capture_output=True, text=True,
            env={"PATH": os.environ["PATH"], "http_proxy": f"http://{self.proxy}/"})
        self.assertEqual(got.returncode, 0, got.stderr)
        self.assertIn("GET /page", got.stdout)

    @unittest.skipUnless(shutil.which("apt-get"), "needs apt-get")
    def test_u1_apt(self):
        with tempfile.TemporaryDirectory(prefix="tunic-test-") as folder:
            root = pathlib.Path(folder)
            root.chmod(0o755)
            (root / "site").mkdir()
            (root / "site" / "Packages").write_text("")
            for name in ("lists/partial", "archives/partial", "etc"):
                (root / name).mkdir(parents=True)

            class Site(http.server.SimpleHTTPRequestHandler):
                def __init__(self, *arguments):
                    super().__init__(*arguments, directory=str(root / "site"))

                def log_message(self, *_):
                    pass

            with Served(Site) as site:
                (root / "etc" / "sources.list").write_text(f"deb [trusted=yes] http://127.0.0.1:{site.port}/ ./\n")
                options = {
                    "Acquire::http::Proxy": f"http://{self.proxy}", "Dir::Etc::SourceList": root / "etc" / "sources.list",
                    "Dir::Etc::SourceParts": "/dev/null", "Dir::State::Lists": root / "lists", "Dir::Cache::Archives": root / "archives",
                    "Dir::Cache::pkgcache": "", "Dir::Cache::srcpkgcache": "", "APT::Sandbox::User": "", "Dir::State::status": "/dev/null",
                }
                arguments = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
                got = subprocess.run(["apt-get", *arguments, "update"], capture_output=True, text=True, timeout=60)
                self.assertEqual(got.returncode, 0, got.stdout + got.stderr)
                self.assertIn(f"http://127.0.0.1:{site.port}", got.stdout)
                self.assertRegex(got.stdout, rf"Get:\d+ http://127.0.0.1:{site.port} ./ Packages")


if __name__ == "__main__":
    unittest.main()
