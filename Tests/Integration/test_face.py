"""The interfaces of a running process: commands, status page and metrics."""

import contextlib
import fcntl
import http.server
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import socket
import struct
import subprocess
import termios
import threading
import unittest

from devnet import Devnet, binary, wait_until
from face import echo_port, http_port, http_request, request, server
from test_command_line import run


class Face(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.net = Devnet(nodes=5, exits=2).__enter__()
        cls.addClassCleanup(cls.net.__exit__, None, None, None)
        wait_until(lambda: cls.net.status()["ready"])
        cls.control = cls.net.control

    def command(self, *arguments):
        code, out, err = run(*arguments, "--control", self.control)
        self.assertEqual(code, 0, err)
        return out

    def test_every_command_answers_in_text_and_json(self):
        with self.net.connect("127.0.0.1", echo_port(self)) as stream:
            stream.sendall(b"x")
            self.assertEqual(stream.recv(1), b"x")
            for name in ["status", "paths", "exits", "streams", "metrics", "web"]:
                text = self.command(name)
                self.assertTrue(text.strip(), name)
                self.assertNotIn("\x1b", text, "no colour but on a terminal")
                json.loads(self.command(name, "--json"))
            self.assertIn("streams", self.command("top", "--once"))
            json.loads(self.command("top", "--json"))

    def test_top_fits_the_terminal(self):
        height = 12
        with contextlib.ExitStack() as stack:
            for number in range(8):
                stack.enter_context(self.net.connect("127.0.0.1", echo_port(self), user=f"top {number}"))
            near, far = pty.openpty()
            self.addCleanup(os.close, near)
            fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", height, 50, 0, 0))
            top = subprocess.Popen(
                [binary(), "top", "--control", self.control], stdout=far, stderr=subprocess.STDOUT,
                env={**os.environ, "TERM": "xterm"})
            os.close(far)
            self.addCleanup(top.wait)
            self.addCleanup(top.kill)
            shown = b""
            while shown.count(b"\x1b[?7h") < 2:
                shown += os.read(near, 65536)
            frame = shown.split(b"\x1b[2J")[1].split(b"\x1b[?7h")[0].decode()
            self.assertLessEqual(frame.count("\n"), height - 1, frame)
            for part in ("paths", "streams", "more"):
                self.assertIn(part, frame)

    def test_top_ends_with_q_and_leaves_the_terminal_as_it_was(self):
        for kind in ("xterm", "dumb"):
            ours, its = pty.openpty()
            self.addCleanup(os.close, ours)
            self.addCleanup(os.close, its)
            before = termios.tcgetattr(its)
            top = subprocess.Popen(
                [binary(), "top", "--control", self.control], stdin=its, stdout=its, stderr=subprocess.DEVNULL,
                env={**os.environ, "TERM": kind})
            self.addCleanup(top.wait)
            self.addCleanup(top.kill)
            shown = b""
            while b"streams" not in shown:
                shown += os.read(ours, 65536)
            self.assertEqual(b"\x1b" in shown, kind != "dumb", shown)
            os.write(ours, b"q")
            self.assertEqual(top.wait(60), 0)
            self.assertEqual(termios.tcgetattr(its), before)

    def test_paths_tell_the_round_trips_to_guard_and_exit(self):
        with self.net.connect("127.0.0.1", echo_port(self), user="rtt") as stream:
            stream.sendall(b"x")
            self.assertEqual(stream.recv(1), b"x")
            paths = self.net.paths()
            for path in paths:
                if path["state"] == "ready":
                    self.assertGreater(path["build_ms"], 0)
                    self.assertGreater(path["guard_rtt_ms"], 0)
            used = [path for path in paths if path["active"] and path["bytes_in"]]
            self.assertTrue(used and all(path["rtt_ms"] > 0 for path in used), paths)
            # A path without traffic has no round trip to the exit.
            unused = [path for path in paths if path["state"] == "ready" and not path["bytes_in"]]
            self.assertTrue(all(path["rtt_ms"] is None for path in unused), paths)

    def test_newpath_moves_new_streams_and_keeps_open_ones(self):
        port = echo_port(self)
        with self.net.connect("127.0.0.1", port, user="moved") as old:
            label = next(k["label"] for k in request(self.control, "streams")["keys"] if k["streams"])
            before = sum(p["active"] for p in self.net.paths())
            self.assertIn("no app uses", request(self.control, "newpath", "zzzzzz")["error"])
            self.assertIn("New streams of the key", request(self.control, "newpath", label)["done"])
            # The open stream is shown, although no new stream has begun.
            key = next(k for k in request(self.control, "streams")["keys"] if k["label"] == label)
            self.assertEqual((key["streams"], key["sessions"]), (1, 1))
            with self.net.connect("127.0.0.1", port, user="moved") as new:
                new.sendall(b"n")
                self.assertEqual(new.recv(1), b"n")
                old.sendall(b"o")
                self.assertEqual(old.recv(1), b"o")
                after = sum(p["active"] for p in self.net.paths())
                self.assertGreater(after, before, "another path carries data")
                key = next(k for k in request(self.control, "streams")["keys"] if k["label"] == label)
                self.assertEqual((key["streams"], key["sessions"]), (2, 2))
        wait_until(lambda: all(k["sessions"] == 1 for k in request(self.control, "streams")["keys"]))
        self.assertIn("All new streams", self.command("newpath"))

    def test_figures_follow_the_conventions(self):
        """K6: aggregates only, and no names."""
        text = self.command("metrics")
        self.assertTrue(text.endswith("# EOF\n"))
        types, seen = {}, set()
        for line in text.splitlines()[:-1]:
            if match := re.fullmatch(r"# TYPE (\S+) (gauge|counter|info)", line):
                types[match[1]] = match[2]
            elif match := re.fullmatch(r"# (HELP|UNIT) (\S+) (.+)", line):
                self.assertIn(match[2], types)
                if match[1] == "UNIT":
                    self.assertTrue(match[2].endswith("_" + match[3]), line)
            else:
                match = re.fullmatch(r'([a-z_]+)(\{[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*\})? (-?[0-9.e+]+)', line)
                self.assertTrue(match, line)
                name = re.sub(r"_(total|info)$", "", match[1])
                self.assertIn(name if name in types else match[1], types, line)
                self.assertEqual(match[1].endswith("_total"), types.get(name) == "counter", line)
                self.assertNotIn(line.rsplit(" ", 1)[0], seen, "each sample once")
                seen.add(line.rsplit(" ", 1)[0])
                for label in re.findall(r'([a-z]+)="', match[2] or ""):
                    self.assertIn(label, {"role", "version", "direction", "reason", "result", "quantile", "state"})
        for name in ["tunic_ready", "tunic_network_bytes", "process_resident_memory_bytes"]:
            self.assertIn(name, types)
        self.assertNotIn("snode", text)
        self.assertNotIn("127.0.0.1", text)

    def test_the_dashboard_asks_for_figures_that_there_are(self):
        root = pathlib.Path(__file__).parents[2]
        files = ("grafana-dashboard.json", "prometheus-alerts.yml")
        text = "".join((root / "contrib" / name).read_text() for name in files)
        wanted = set(re.findall(r"(?:tunic|process)_[a-z_]+", text))
        relay = run("metrics", "--control", self.net.nodes[-1].control)[1]
        there = set(re.findall(r"^([a-z_]+)[ {]", self.command("metrics") + relay, re.M))
        # These exist only with a limit, a refusal, a drop or a store.
        rare = {"tunic_month_limit_bytes", "tunic_refused_builds_total", "tunic_dropped_packets_total"}
        self.assertEqual({name for name in wanted - there - rare if not name.startswith("tunic_store_")}, set())
        self.assertGreater(len(wanted), 10)

    def test_the_page_has_the_rows_of_the_status(self):
        if not (node := shutil.which("node")):
            self.skipTest("there is no node to run the page's script")
        heading = {"", "role", "node", "address", "proxy", "version", "running for", "ready"}
        for control in (self.control, self.net.nodes[-1].control):
            url = request(control, "web")["url"]
            host, port = re.match(r"http://([^:]+):(\d+)/", url).groups()
            document = http_request((host, int(port)), "GET", "/")[2]
            catalog = re.search(r'id="catalog">(.*?)</script>', document)[1]
            script = document[document.index("function figuresOf"):document.index("(() => {")]
            report = run("status", "--control", control, "--json")[1]
            code = (f"{script}; const {{ rows }} = figuresOf({catalog}); console.log(JSON.stringify("
                    f"['', 'Registry', 'Tests', 'oxend'].flatMap(card => rows({report}, card))))")
            rows = dict(json.loads(subprocess.run([node, "-e", code], capture_output=True, text=True, check=True).stdout))
            lines = [re.split(r"  +", line, maxsplit=1) for line in run("status", "--control", control)[1].splitlines()]
            there = {line[0]: line[1] for line in lines if line[0] not in heading}
            self.assertEqual({name.lower() for name in rows}, {name.lower() for name in there})
            for name in ("links", "paths", "open files", "started"):
                self.assertIn(name[0].upper() + name[1:], rows)
            self.assertEqual(rows["Started"], there["started"])
            self.assertNotIn("undefined", str(rows))

    def page(self):
        url = request(self.control, "web")["url"]
        match = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?token=([0-9a-f]{32})", url)
        self.assertTrue(match, url)
        return ("127.0.0.1", int(match[1])), match[2]

    def test_l2_the_pac_file_leads_to_the_proxy_alone(self):
        address, token = self.page()
        setup = json.loads(http_request(address, "GET", "/state", {"X-Tunic-Token": token})[2])["setup"]
        own = "%s:%d" % self.net.socks
        self.assertEqual(setup["address"], own)
        prefix, path = setup["pac"][:len(f"http://{address[0]}:{address[1]}")], setup["pac"][len(f"http://{address[0]}:{address[1]}"):]
        self.assertEqual(prefix, f"http://{address[0]}:{address[1]}")
        self.assertRegex(path, r"^/[0-9a-f]{32}/proxy\.pac$")
        status, headers, body = http_request(address, "GET", path)
        self.assertEqual((status, headers["Content-Type"]), (200, "application/x-ns-proxy-autoconfig"))
        for name, value in [("X-Content-Type-Options", "nosniff"), ("Cross-Origin-Resource-Policy", "same-origin"),
                            ("Cache-Control", "no-store")]:
            self.assertEqual(headers[name], value)
        self.assertNotIn(token, body)
        self.assertNotIn("Access-Control-Allow-Origin", headers)
        secret = path.split("/")[1]
        for wanted, method, asked, more in [
                (421, "GET", path, {"Host": f"evil.example:{address[1]}"}),
                (404, "GET", "/proxy.pac", {}), (404, "GET", f"/{token}/proxy.pac", {}), (404, "GET", f"/{secret[:-1]}/proxy.pac", {}),
                # The file's secret opens nothing else.
                (403, "GET", f"/state?token={secret}", {}), (403, "GET", "/state", {"X-Tunic-Token": secret}),
                (403, "POST", "/newpath", {"X-Tunic-Token": secret, "Content-Length": "0"}), (403, "POST", path, {"Content-Length": "0"})]:
            with self.subTest(asked=asked, method=method):
                self.assertEqual(http_request(address, method, asked, more)[0], wanted)
        # As a browser calls it, with names that a page chose.
        if not (node := shutil.which("node")):
            self.skipTest("there is no node to run the file")
        hosts = {"localhost": True, "127.0.0.1": True, "127.1.2.3": True, "::1": True, "[::1]": True, "LOCALHOST": True,
                 "example.org": False, "printer": False, "ai": False, "127.0.0.1.example.org": False, "127.example": False, "10.0.0.1": False,
                 "a.localhost": False, "2001:db8::1": False, "localhost.example.org": False, "": False, "x\n127.0.0.1": False}
        script = body + f"console.log(JSON.stringify({json.dumps(list(hosts))}.map(h => FindProxyForURL('http://' + h + '/', h))))"
        found = json.loads(subprocess.run([node, "-e", script], capture_output=True, text=True, check=True).stdout)
        proxy = f"PROXY {own}"
        self.assertEqual(dict(zip(hosts, found)), {host: "DIRECT" if direct else proxy for host, direct in hosts.items()})

    def test_the_set_up_line_for_curl_works(self):
        address, token = self.page()
        setup = json.loads(http_request(address, "GET", "/state", {"X-Tunic-Token": token})[2])["setup"]
        line = next(line["text"] for line in setup["lines"] if line["app"] == "curl")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
        server.RequestHandlerClass.log_message = lambda *_: None
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        line = line.replace("https://example.org/", f"http://localhost:{server.server_address[1]}/")
        done = subprocess.run(["sh", "-c", f"{line} -sS --max-time 40 -o /dev/null -w '%{{http_code}}'"], capture_output=True, text=True)
        self.assertEqual(done.stdout, "200", done.stderr)

    def test_l2_the_page_is_for_who_has_its_secret(self):
        """Another site's page, through DNS rebinding or a form, gets nothing and changes nothing."""
        address, token = self.page()
        own = f"127.0.0.1:{address[1]}"
        status, headers, body = http_request(address, "GET", f"/?token={token}")
        self.assertEqual(status, 200)
        self.assertNotIn(token, body)
        self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
        self.assertIn("frame-ancestors 'none'", headers["Content-Security-Policy"])
        self.assertIsNone(re.search(r"(src|href)=\"(?!data:)", body), "nothing from elsewhere")
        for expected, method, path, header in [
            (403, "GET", "/state", {}),
            (403, "GET", "/state", {"X-Tunic-Token": "0" * 32}),
            (421, "GET", "/state", {"X-Tunic-Token": token, "Host": "example.org"}),
            (421, "GET", f"/?token={token}", {"Host": f"evil.example:{address[1]}"}),
            (200, "GET", "/state", {"X-Tunic-Token": token}),
            (404, "GET", "/etc/passwd", {"X-Tunic-Token": token}),
            (404, "GET", "/newpath", {"X-Tunic-Token": token}),
            (403, "POST", "/newpath", {}),
            (403, "POST", f"/newpath?token={token}", {}),
            (403, "POST", "/newpath", {"X-Tunic-Token": token, "Origin": "http://example.org"}),
            (405, "DELETE", "/state", {"X-Tunic-Token": token}),
            (409, "POST", "/newpath?key=zzzzz", {"X-Tunic-Token": token, "Content-Length": "0"}),
            (200, "POST", "/newpath", {"X-Tunic-Token": token, "Origin": f"http://{own}", "Content-Length": "0"}),
        ]:
            with self.subTest(method=method, path=path, header=header):
                self.assertEqual(http_request(address, method, path, header)[0], expected)
        state = json.loads(http_request(address, "GET", "/state", {"X-Tunic-Token": token})[2])
        self.assertEqual(
            sorted(state), ["exits", "log", "paths", "setup", "status", "streams", "time"])

    def test_the_page_holds_out_against_rubbish(self):
        address, token = self.page()
        for bytes in [b"\x00" * 4096, b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\n\r\n", b"\x05\x01\x00", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"]:
            with socket.create_connection(address, 5) as connection:
                try:
                    connection.sendall(bytes)
                    connection.shutdown(socket.SHUT_WR)
                    # Some requests are answered, and others are left to time out.
                    connection.settimeout(0.2)
                    connection.recv(100)
                except OSError:
                    pass
        held = [socket.create_connection(address, 5) for _ in range(20)]
        for connection in held:
            connection.close()
        wait_until(lambda: http_request(address, "GET", "/state", {"X-Tunic-Token": token})[0] == 200, interval=0.2)

    def test_the_page_answers_after_all_its_places_came_free_at_once(self):
        address, token = self.page()
        asked = f"GET /state HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nX-Tunic-Token: {token}\r\n\r\n".encode()
        held = [socket.create_connection(address, 60) for _ in range(16)]
        for connection in held:
            self.addCleanup(connection.close)
            connection.sendall(asked)
            self.assertIn(b" 200 ", connection.recv(100))
        os.kill(self.net.process.pid, signal.SIGSTOP)
        try:
            for connection in held:
                connection.close()
        finally:
            os.kill(self.net.process.pid, signal.SIGCONT)
        self.assertEqual(http_request(address, "GET", "/state", {"X-Tunic-Token": token})[0], 200)

    def test_check_gives_times_by_stage(self):
        # Apps with other isolation keys have streams of their own.
        others = [self.net.connect("127.0.0.1", echo_port(self), user=f"other {number}") for number in range(4)]
        for other in others:
            self.addCleanup(other.close)
        report = json.loads(self.command("check", f"http://127.0.0.1:{http_port(self)}/", "--json"))
        self.assertIn(report["exit"], [exit["node"] for exit in request(self.control, "exits")["exits"] if exit["sessions"]])
        self.assertEqual(report["status"], 200)
        self.assertEqual(report["exit_address"], "192.0.2.7")
        self.assertGreater(report["first_byte_ms"], 0)

    def test_a_check_without_an_answer_is_a_failure(self):
        for answer, words in [(b"", "without an answer"), (b"SSH-2.0-x\r\n", "not HTTP")]:
            with self.subTest(answer), socket.create_server(("127.0.0.1", 0)) as server:
                def serve():
                    with server.accept()[0] as peer:
                        peer.recv(4096)
                        peer.sendall(answer)
                threading.Thread(target=serve, daemon=True).start()
                code, out, err = run("check", f"http://127.0.0.1:{server.getsockname()[1]}/", "--control", self.control)
                self.assertEqual((code, out), (69, ""))
                self.assertIn(words, err)
        for url, words in [
            ("ftp://x", "http://"), ("http://[::1", "[::1"), ("http://u:secret@x/", "user and password"), ("http://127.1/", "127.1"),
            ("http://b\u00fccher.example/", "xn--"), ("http://x:0/", "x:0"), ("http://x:+1/", "x:+1"), ("http://a b/", "spaces"),
        ]:
            with self.subTest(url):
                code, out, err = run("check", url, "--control", self.control)
                self.assertEqual((code, out), (64, ""))
                self.assertIn(words, err)
                self.assertNotIn("secret", err)


if __name__ == "__main__":
    unittest.main()
