"""`tunic bench`: its report of a good network, and its detection of a bad proxy."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from devnet import Devnet, binary, is_running, wait_until


def run(*arguments, timeout=60):
    result = subprocess.run(
        [binary(), "bench", *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
    return result.returncode, result.stdout, result.stderr


def children(pid):
    """The processes whose parent is `pid`."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "stat").read_text().rpartition(")")[2].split()[1] == str(pid):
                    found.append(int(entry.name))
            except OSError:
                pass
    return found


class BadProxy:
    """A SOCKS5 proxy that connects, and has a fault: `refuse`, `stall`, `stall-later`, `corrupt`, `lose`, `repeat`, `close`, or none."""

    def __init__(self, fault=None, after=300_000, upwards=False):
        self.fault, self.after, self.upwards = fault, after, upwards
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.open = set()

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in list(self.open):
            sock.close()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.open.add(sock)
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, app):
        try:
            app.recv(3, socket.MSG_WAITALL)
            app.sendall(b"\x05\x00")
            request = app.recv(10, socket.MSG_WAITALL)
            if self.fault == "refuse":
                app.sendall(b"\x05\x05\x00\x01" + bytes(6))
                return app.close()
            if self.fault == "stall":
                return
            host, port = socket.inet_ntoa(request[4:8]), int.from_bytes(request[8:10], "big")
            far = socket.create_connection((host, port))
            self.open.add(far)
            app.sendall(b"\x05\x00\x00\x01" + bytes(6))
        except OSError:
            return
        up, down = (self.fault, None) if self.upwards else (None, self.fault)
        other = threading.Thread(target=self.pipe, args=(app, far, up), daemon=True)
        other.start()
        self.pipe(far, app, down)
        other.join()
        # A benchmark opens more connections than a process may hold descriptors.
        for sock in (app, far):
            self.open.discard(sock)
            sock.close()

    def pipe(self, source, sink, fault):
        """Carries bytes one way; the fault comes after `self.after` bytes."""
        count = 0
        try:
            while part := source.recv(65536):
                before, count = count, count + len(part)
                if fault and before <= self.after < count:
                    place = self.after - before
                    if fault == "stall-later":
                        return
                    if fault == "close":
                        return sink.shutdown(socket.SHUT_RDWR)
                    if fault == "corrupt":
                        part = part[:place] + bytes([part[place] ^ 1]) + part[place + 1:]
                    if fault == "lose":
                        part = part[:place] + part[place + 1:]
                    if fault == "repeat":
                        part = part[:place + 1] + part[place:]
                sink.sendall(part)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Benchmark(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="tunic-bench-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def test_a_short_run_of_a_network_of_its_own(self):
        json_path, html_path = self.folder / "result.json", self.folder / "result.html"
        code, out, err = run("--seconds", "0.5", "--repeat", "1", "--streams", "1,4", "--hops", "2", "--json", json_path, "--html", html_path)
        self.assertEqual(code, 0, err)
        report = json.loads(json_path.read_text())
        self.assertEqual([(one["streams"], one["direction"]) for one in report["throughput"]],
                         [(1, "down"), (4, "down"), (1, "up"), (4, "up")])
        for one in report["throughput"]:
            self.assertNotIn("fault", one)
            self.assertGreater(one["mb_per_s"], 0)
            self.assertGreaterEqual(one["mb_per_s"] + 0.01, one["least_mb_per_s"] * one["streams"])
            self.assertGreater(one["cpu_s_per_gib"], 0)
            self.assertGreater(one["cpu_s_per_gib_benchmark"], 0)
            roles = set(one["cpu_s_per_gib_by_role"])
            self.assertIn(roles, [{"client", "guard", "exit", "others"}, {"client", "relays"}])
            self.assertGreater(len(one["over_time"]), 3)
        self.assertEqual([one["bulk_streams"] for one in report["latency"]], [0, 8])
        for one in report["latency"]:
            self.assertLessEqual(one["p50_us"], one["max_us"])
            self.assertEqual(one["distribution"][0]["percentile"], 0)
        self.assertGreater(report["connections"]["per_second"], 0)
        self.assertGreater(report["path_builds"]["count"], 10)
        self.assertLessEqual(report["path_builds"]["p50_ms"], report["path_builds"]["p90_ms"])
        self.assertGreater(report["memory"]["idle"]["client"], 1 << 20)
        self.assertGreater(report["memory"]["peak"]["client"], 1 << 20)
        self.assertEqual(report["settings"]["limits"], "default")
        for word in ("MB/s", "p99.9", "per second", "4 streams up", "guard", ", default limits;", "--raise-limits measures"):
            self.assertIn(word, out)
        page = html_path.read_text()
        self.assertEqual(page.count("<svg"), 3)
        for outside in ("http:", "https:", "<script", "<link", "@import", "url("):
            self.assertNotIn(outside, page)
        self.assertIn("prefers-color-scheme: dark", page)

    def test_b_builds_that_are_compared_are_named_apart(self):
        names = [([("a/tunic", "c1")], ["tunic"]), ([("a", "c1"), ("b", "c2")], ["tunic c1", "tunic c2"]),
                 ([("a", "c1"), ("b", "c1")], ["tunic a", "tunic b"]), ([("a", None), ("b", "c2")], ["tunic a", "tunic c2"]),
                 ([("a", "c1"), ("a", "c1")], ["tunic a (1)", "tunic a (2)"])]
        sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
        # The tests have a module of that name too.
        mine = sys.modules.pop("peers", None)
        try:
            import peers
        finally:
            sys.path.pop(0)
            del sys.modules["peers"]
            if mine:
                sys.modules["peers"] = mine
        for builds, wanted in names:
            commits = iter([commit for _, commit in builds])
            self.assertEqual(peers.names_of([program for program, _ in builds], lambda _: next(commits)), wanted)
        self.assertTrue(peers.commit_of(binary()))
        self.assertIsNone(peers.commit_of("/nonexistent/tunic"))

    def test_b_several_windows_and_an_older_run(self):
        first, second = self.folder / "first.json", self.folder / "second.json"
        options = ["--seconds", "0.3", "--repeat", "3", "--streams", "1", "--direction", "down", "--hops", "1"]
        code, out, err = run(*options, "--json", first, timeout=120)
        self.assertEqual(code, 0, err)
        report = json.loads(first.read_text())
        one = report["throughput"][0]
        rates = sorted(window["mb_per_s"] for window in one["windows"])
        self.assertEqual(len(rates), 3)
        self.assertAlmostEqual(one["mb_per_s"], rates[1], 2)
        self.assertTrue(one["over_time"])
        self.assertTrue(all("over_time" not in window for window in one["windows"]))
        for kind in (report["latency"][0], report["connections"], report["path_builds"]):
            self.assertEqual(len(kind["windows"]), 3)
        self.assertEqual(report["settings"]["repeats"], 3)
        self.assertEqual(report["commit"], report["version"].split("+")[1])
        self.assertIn("load_average", report["host"])
        for words in ("medians of 3 windows", "–", "steadiest"):
            self.assertIn(words, out)
        # The file of an older run: from another machine, and without repeated windows.
        report["host"]["cpu"] = "another processor"
        del report["settings"]["repeats"], report["commit"], report["host"]["load_average"]
        first.write_text(json.dumps(report))
        code, out, err = run(
            *options, "--raise-limits", "--measure", "throughput", "--json", second, "--compare", first, timeout=120)
        self.assertEqual(code, 0, err)
        self.assertEqual(json.loads(second.read_text())["settings"]["limits"], "raised")
        for words in ("limits: default then, raised now", ", raised limits;", "Beside the older run", "1 stream down, CPU s/GiB", "ratio", "processor: another processor then", "windows: 1 then, 3 now"):
            self.assertIn(words, out)
        second.write_text("{}")
        code, _, err = run(*options, "--compare", second)
        self.assertEqual((code, "not a report of" in err), (65, True), err)
        self.assertEqual(run("--compare", self.folder / "none.json")[0], 66)

    def test_an_interrupt_ends_every_process(self):
        process = subprocess.Popen([binary(), "bench", "--seconds", "60", "--streams", "2"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            started = wait_until(lambda: (pids := children(process.pid)) and len(pids) == 7 and pids)
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(60), 130)
            self.assertFalse([pid for pid in started if is_running(pid)])
        finally:
            process.kill()
            process.communicate()

    def test_a_real_network_against_a_sink(self):
        with subprocess.Popen([binary(), "bench", "--sink"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as sink:
            try:
                target = sink.stdout.readline().strip()
                with BadProxy() as proxy:
                    code, out, err = run("--socks", proxy.address, "--target", target, "--seconds", "0.5", "--streams", "1",
                                         "--measure", "throughput,connections", "--json", "-")
                self.assertEqual(code, 0, err)
                report = json.loads(out)
                self.assertTrue(all(one["mb_per_s"] > 1 for one in report["throughput"]))
                self.assertGreater(report["connections"]["count"], 0)
                self.assertNotIn("memory", report)
                with Devnet(nodes=3, exits=1, arguments=["--dir", self.folder / "net"]):
                    code, out, err = run("--network", self.folder / "net" / "network.json", "--target", target, "--hops", "2",
                                         "--seconds", "0.3", "--streams", "2", "--measure", "throughput,builds", "--json", "-")
                self.assertEqual(code, 0, err)
                report = json.loads(out)
                self.assertTrue(all(set(one["cpu_s_per_gib_by_role"]) == {"client"} for one in report["throughput"]))
                self.assertEqual(len(report["throughput"]), 2)
                self.assertGreater(report["path_builds"]["count"], 10)
                self.assertEqual(set(report["memory"]["peak"]), {"client"})
                sink.send_signal(signal.SIGTERM)
                self.assertEqual(sink.wait(60), 0)
            finally:
                sink.kill()

    def assert_reported(self, kind, proxy, *arguments, patience=20, direction="down"):
        """The benchmark reports the fault and prints no figure."""
        path = self.folder / f"{kind}.json"
        code, out, err = run("--socks", proxy.address, "--seconds", "0.3", "--streams", "2", "--direction", direction,
                             "--patience", patience, "--measure", "throughput", "--json", path, *arguments)
        self.assertEqual(code, 69, err)
        self.assertIn(kind, err)
        report = json.loads(path.read_text())
        faults = [report["fault"]] if "fault" in report else [one["fault"] for one in report["throughput"]]
        self.assertEqual(len(faults), 1)
        self.assertIn(kind, faults[0])
        self.assertFalse(any("mb_per_s" in one for one in report["throughput"]))

    def test_a_proxy_that_refuses(self):
        with BadProxy("refuse") as proxy:
            self.assert_reported("refused", proxy)

    def test_nobody_at_the_proxys_address(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            code, _, err = run("--socks", "127.0.0.1:%d" % closed.getsockname()[1])
        self.assertEqual(code, 69)
        self.assertIn("refused", err)

    def test_a_proxy_that_stalls(self):
        for fault in ("stall", "stall-later"):
            with self.subTest(fault=fault), BadProxy(fault) as proxy:
                self.assert_reported("stalled", proxy, patience=0.7)

    def test_a_proxy_that_closes(self):
        with BadProxy("close") as proxy:
            self.assert_reported("closed", proxy)

    def test_a_proxy_that_corrupts(self):
        for fault in ("corrupt", "lose", "repeat"):
            with self.subTest(fault=fault), BadProxy(fault) as proxy:
                self.assert_reported("corrupt", proxy)
        with BadProxy("corrupt", after=3) as proxy:  # the far end's answer
            self.assert_reported("corrupt", proxy)
        with BadProxy("lose", upwards=True) as proxy:
            self.assert_reported("corrupt", proxy, direction="up")
            with subprocess.Popen([binary(), "bench", "--sink"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as sink:
                try:
                    self.assert_reported("corrupt", proxy, "--target", sink.stdout.readline().strip(), direction="up")
                finally:
                    sink.kill()

    def test_a_round_trip_that_is_wrong(self):
        for fault, kind, patience in (("corrupt", "corrupt", 20), ("stall-later", "stalled", 0.7)):
            with self.subTest(fault=fault), BadProxy(fault, after=20) as proxy:
                path = self.folder / "latency.json"
                code, _, err = run("--socks", proxy.address, "--seconds", "0.3", "--patience", patience, "--measure", "latency",
                                   "--json", path)
                self.assertEqual(code, 69, err)
                self.assertIn(kind, json.loads(path.read_text())["latency"][0]["fault"])

    def test_wrong_flags_end_at_once(self):
        for words, arguments in [
            (["--hops 5", "1 to 4"], ["--hops", "5"]),
            (["'1,x'", "1,8,64"], ["--streams", "1,x"]),
            (["'0'"], ["--streams", "0"]),
            (["twice"], ["--streams", "4,4"]),
            (["--seconds", "0.2"], ["--seconds", "0"]),
            (["--patience"], ["--patience", "0"]),
            (["'sideways'", "both"], ["--direction", "sideways"]),
            (["'speed'", "throughput"], ["--measure", "speed"]),
            (["'nowhere'"], ["--socks", "nowhere"]),
            (["'nowhere'"], ["--socks", "127.0.0.1:1", "--target", "nowhere"]),
            (["--network", "--target"], ["--network", "network.json"]),
            (["--target"], ["--target", "127.0.0.1:1"]),
            (["--socks and --direct"], ["--socks", "127.0.0.1:1", "--direct"]),
            (["--hops", "--socks"], ["--socks", "127.0.0.1:1", "--hops", "2"]),
            (["--listen", "--sink"], ["--listen", "127.0.0.1:1"]),
            (["--sink", "--listen"], ["--sink", "--hops", "2"]),
            (["--sink", "--listen"], ["--sink", "--seconds", "2"]),
            (["--raise-limits", "--socks"], ["--raise-limits", "--socks", "127.0.0.1:1"]),
            (["--measure builds", "--direct"], ["--direct", "--measure", "builds"]),
        ]:
            with self.subTest(arguments=arguments):
                code, out, err = run(*arguments, timeout=30)
                self.assertEqual((code, out, err.count("\n")), (64, "", 1), err)
                for word in words:
                    self.assertIn(word, err)
        missing = self.folder / "no" / "file.json"
        code, _, err = run("--json", missing, timeout=30)
        self.assertEqual(code, 66)
        self.assertIn(str(missing), err)
        code, _, err = run("--network", missing, "--target", "127.0.0.1:1")
        self.assertEqual(code, 69)
        self.assertIn(str(missing), err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
