"""`tunic join URL` against a small HTTPS server with a certificate that the test makes."""

import hashlib
import http.server
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest

from devnet import binary
from network import free_port
from test_command_line import run


class Server:
    """An HTTPS server at 127.0.0.1 whose pages are `files`; a value that begins with / is a redirect."""

    def __init__(self, test, certificate, key):
        self.files = {}
        self.asked = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.asked.append((self.path, dict(self.headers)))
                found = server.files.get(self.path)
                if found is None:
                    self.send_error(404)
                elif isinstance(found, str):
                    self.send_response(302)
                    self.send_header("Location", found)
                    self.end_headers()
                elif callable(found):
                    found(self)
                else:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(found)))
                    self.end_headers()
                    self.wfile.write(found)

            def log_message(self, *_):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"https://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        test.addCleanup(self.server.server_close)
        test.addCleanup(self.server.shutdown)


@unittest.skipUnless(shutil.which("openssl"), "there is no openssl")
class Join(unittest.TestCase):
    def setUp(self):
        kept = tempfile.TemporaryDirectory(prefix="tunic-test-")
        self.addCleanup(kept.cleanup)
        self.root = pathlib.Path(kept.name)
        for name in ("net", "other"):
            self.assertEqual(run("network", "create", "--dir", self.root / name, "--nodes", 3, "--local")[0], 0)
        self.file = (self.root / "net" / "network.json").read_bytes()
        self.other = (self.root / "other" / "network.json").read_bytes()
        self.place = self.root / "kept"
        self.place.mkdir()
        self.kept = self.place / ("network.json" if os.geteuid() == 0 else "tunic/network.json")
        self.certificate = self.make_certificate("own", "IP:127.0.0.1")
        self.server = Server(self, *self.certificate)

    def make_certificate(self, name, alternative):
        """A certificate of a separate authority, and its key."""
        certificate, key = self.root / f"{name}.pem", self.root / f"{name}.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", "/CN=tunic test", "-addext", f"subjectAltName={alternative}", "-keyout", key, "-out", certificate],
                       check=True, capture_output=True)
        return certificate, key

    def join(self, *arguments, code, authorities=True, environment=None):
        # Root keeps the file for the whole machine, so it runs in a mount namespace of its own.
        script = f'mkdir -p /etc/tunic && mount --bind {self.place} /etc/tunic && exec "$@"'
        prefix = ["unshare", "-m", "sh", "-c", script, "sh"] if os.geteuid() == 0 else []
        values = {**os.environ, "XDG_CONFIG_HOME": str(self.place), **(environment or {})}
        if authorities:
            values["SSL_CERT_FILE"] = str(self.certificate[0] if authorities is True else authorities)
        done = subprocess.run([*prefix, binary(), "join", *map(str, arguments)], capture_output=True, text=True, env=values, timeout=60)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        if code:
            self.assertEqual(done.stdout, "")
            self.assertFalse(self.kept.exists() and self.kept.read_bytes() != self.file, "something was kept")
        # No unfinished file is left.
        self.assertEqual([path for path in self.kept.parent.glob("*") if path != self.kept and path.is_file()], [])
        return done.stdout, done.stderr

    def test_a_file_is_fetched_checked_and_kept(self):
        self.server.files["/network.json"] = self.file
        # Proxies in the environment are not used.
        proxies = {name: "http://127.0.0.1:9" for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")}
        out, err = self.join(f"{self.server.url}/network.json", code=0, environment=proxies)
        digest = hashlib.blake2b(self.file, digest_size=32).hexdigest()
        value = json.loads(self.file)
        for words in (digest, value["name"], value["id"], "from another source, not from the same address"):
            self.assertIn(words, out)
        self.assertEqual(err, f"tunic: fetching {self.server.url}/network.json over the ordinary internet, not through Tunic: "
                              "this network and the server see it\n")
        self.assertEqual(self.kept.read_bytes(), self.file)
        # The same file again, with its fingerprint and over three redirects.
        self.server.files.update({"/1": "/2", "/2": f"{self.server.url}/3", "/3": "/network.json"})
        out, _ = self.join(f"{self.server.url}/1", "--fingerprint", digest, code=0)
        self.assertNotIn("Compare", out)
        self.assertIn("not the one", self.join(f"{self.server.url}/network.json", "--fingerprint", "00", code=65)[1])
        # A file: URL.
        self.join(f"file://{self.root}/net/network.json", code=0)

    def test_j1_other_schemes_are_refused_and_nothing_is_sent(self):
        for scheme in ("http", "ftp", "HTTP", "gopher"):
            with self.subTest(scheme=scheme):
                _, err = self.join(f"{scheme}://127.0.0.1:{self.server.port}/network.json", code=64)
                self.assertIn("only https:// is fetched, because over", err)
                self.assertEqual(err.count("\n"), 1)
        self.assertEqual(self.server.asked, [])

    def test_j1_redirects_stay_https_and_few(self):
        plain = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
        self.addCleanup(plain.server_close)
        self.server.files.update({"/plain": f"http://127.0.0.1:{plain.server_address[1]}/network.json", "/file": "file:///etc/passwd",
                                  "/a": "/b", "/b": "/c", "/c": "/d", "/d": "/network.json", "/network.json": self.file})
        for path in ("/plain", "/file"):
            self.assertIn("not https://, which is not fetched", self.join(self.server.url + path, code=69)[1])
        # No request was made by http.
        plain.socket.settimeout(0)
        with self.assertRaises(BlockingIOError):
            plain.socket.accept()
        self.assertIn("cannot fetch", self.join(f"{self.server.url}/a", code=69)[1])
        self.assertNotIn("/network.json", [path for path, _ in self.server.asked])

    def test_j1_the_certificate_is_verified(self):
        self.server.files["/network.json"] = self.file
        # A certificate of an unknown authority, for another host, and of another authority; and no list of authorities.
        self.assertIn("cannot fetch", self.join(f"{self.server.url}/network.json", code=69, authorities=False)[1])
        self.assertIn("cannot fetch", self.join(f"https://localhost:{self.server.port}/network.json", code=69)[1])
        stranger = self.make_certificate("stranger", "IP:127.0.0.1")[0]
        self.assertIn("cannot fetch", self.join(f"{self.server.url}/network.json", code=69, authorities=stranger)[1])
        self.assertIn("cannot fetch", self.join(f"{self.server.url}/network.json", code=69, authorities="/nonexistent")[1])
        self.assertEqual(self.server.asked, [])

    def test_what_is_no_network_file_of_ours_is_not_kept(self):
        value = json.loads(self.file)

        def endless(handler):
            handler.send_response(200)
            handler.end_headers()
            try:
                while True:
                    handler.wfile.write(bytes(65536))
            except OSError:
                pass

        self.server.files.update({
            "/text": b"<!doctype html>", "/empty": b"", "/tampered": json.dumps({**value, "id": "11" * 32}).encode(),
            "/large": b" " * (4 << 20) + b" ", "/endless": endless, "/other": self.other, "/network.json": self.file})
        url = self.server.url
        for path, code, words in [("/none", 69, "HTTP status 404"), ("/text", 65, "/text"), ("/empty", 65, "/empty"),
                                  ("/tampered", 65, "snapshot"), ("/large", 65, "too large"), ("/endless", 65, "too large")]:
            with self.subTest(path=path):
                self.assertIn(words, self.join(url + path, code=code)[1])
                self.assertFalse(self.kept.exists())
        self.assertIn("cannot fetch", self.join(f"https://127.0.0.1:{free_port()}/network.json", code=69)[1])
        # The file of a network other than the joined one.
        self.join(f"{url}/network.json", code=0)
        self.assertIn("belongs to another network", self.join(f"{url}/other", code=73)[1])
        self.assertEqual(self.kept.read_bytes(), self.file)

    def test_s25_a_file_with_the_networks_id_and_other_nodes_takes_no_place(self):
        self.join(self.root / "net" / "network.json", code=0)
        value = json.loads(self.file)
        # Values that no signature covers.
        made = self.root / "made"
        self.assertEqual(run("network", "create", "--dir", made, "--nodes", 3, "--local")[0], 0)
        node = json.loads((made / "network.json").read_text())
        stranger = self.root / "stranger.json"
        for change, words in [({"bootstrap": value["bootstrap"][:1]}, None), ({"operatorSharePercent": 99}, "operatorSharePercent"),
                              ({"ledger": node["ledger"]}, "ledger"),
                              ({"authorities": value["authorities"][::-1], "name": "x"}, "name, authorities")]:
            with self.subTest(words):
                stranger.write_text(json.dumps(value | change))
                self.join(self.root / "net" / "network.json", "--replace", code=0)
                if words is None:
                    self.join(stranger, code=0)
                    continue
                self.assertIn(f"in {words};", self.join(stranger, code=73)[1])
                self.assertEqual(self.kept.read_bytes(), self.file)
        self.join(stranger, "--replace", code=0)
        self.assertEqual(self.kept.read_bytes(), stranger.read_bytes())

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_root_keeps_it_for_every_user(self):
        previous = os.umask(0o077)
        try:
            self.join(self.root / "net" / "network.json", code=0)
        finally:
            os.umask(previous)
        self.assertEqual(self.kept.stat().st_mode & 0o777, 0o644)

    def test_a_server_that_says_nothing_is_no_answer(self):
        # The connection ends before an answer. The limit of 30 s is libcurl's.
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
        self.assertIn("cannot fetch", self.join(f"https://127.0.0.1:{listener.getsockname()[1]}/x", code=69)[1])


if __name__ == "__main__":
    unittest.main()
