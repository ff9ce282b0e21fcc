"""Refused command lines: one line names the fault, the status is not 0, and nothing is half done."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import unittest

from devnet import Devnet, answers, binary, is_running, wait_until
from network import free_port


def run(*arguments, environment=None, timeout=60):
    result = subprocess.run(
        [binary(), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
        env={**os.environ, **(environment or {})})
    return result.returncode, result.stdout, result.stderr


class CommandLineTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="tunic-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def assert_fails(self, status, words, *arguments, **options):
        """One line on standard error with all of `words`, and nothing on standard output."""
        code, out, err = run(*arguments, **options)
        self.assertEqual(code, status, err)
        self.assertEqual(out, "")
        self.assertEqual(err.count("\n"), 1, err)
        self.assertTrue(err.startswith("tunic: "), err)
        for word in words:
            self.assertIn(str(word), err)

    def make_network(self, nodes=3):
        code, out, err = run("network", "create", "--dir", self.folder / "net", "--nodes", nodes, "--local")
        self.assertEqual(code, 0, err)
        return self.folder / "net" / "network.json"


class Usage(CommandLineTest):
    def test_wrong_command_lines(self):
        network = "network.json"
        for words, arguments in [
            (["frobnicate", "tunic --help"], ["frobnicate"]),
            (["--network", "tunic client --help"], ["client"]),
            (["--listen"], ["relay", "--network", network, "--data", "x"]),
            (["--data"], ["relay", "--network", network, "--listen", "127.0.0.1:1"]),
            (["'nowhere'"], ["relay", "--network", network, "--data", "x", "--listen", "nowhere"]),
            (["0.0.0.0:1", "--public"], ["relay", "--network", network, "--data", "x", "--listen", "0.0.0.0:1"]),
            (["family"], ["relay", "--network", network, "--data", "x", "--listen", "1.2.3.4:1", "--public", "1.1.1.1:1,2.2.2.2:1"]),
            (["family"], ["relay", "--network", network, "--data", "x", "--listen", "1.2.3.4:1,1.2.3.5:1"]),
            (["--listen", "two IPv6"], ["relay", "--network", network, "--data", "x", "--listen", "[::1]:1", "--listen", "[::1]:2"]),
            (["[::]:1", "--public"], ["relay", "--network", network, "--data", "x", "--listen", "1.2.3.4:1,[::]:1"]),
            (["no IPv6", "--listen [::]:1"], ["relay", "--network", network, "--data", "x", "--listen", "0.0.0.0:1", "--public", "1.1.1.1:1,[2001:db8::1]:1"]),
            (["'10.0.0.0/33'"], ["relay", "--network", network, "--data", "x", "--listen", "1.2.3.4:1", "--exit", "--exit-allow", "10.0.0.0/33"]),
            (["--exit"], ["relay", "--network", network, "--data", "x", "--listen", "1.2.3.4:1", "--exit-allow", "10.0.0.0/8"]),
            (["unix:relative"], ["client", "--network", network, "--socks", "unix:relative"]),
            (["107"], ["client", "--network", network, "--socks", "unix:/" + "a" * 107]),
            (["twice"], ["client", "--network", network, "--socks", "unix:/a", "--socks", "unix:/a"]),
            (["--hops 5"], ["client", "--network", network, "--hops", "5"]),
            (["--hops 0"], ["client", "--network", network, "--hops", "0"]),
            (["twice"], ["client", "--network", network, "--socks", "127.0.0.1:1", "--socks", "127.0.0.1:1"]),
            (["'loud'"], ["client", "--network", network, "--log-level", "loud"]),
            (["--nodes 0"], ["devnet", "--nodes", "0"]),
            (["--hops 4"], ["devnet", "--nodes", "3", "--hops", "4"]),
            (["--exits 7"], ["devnet", "--nodes", "6", "--exits", "7"]),
            (["--packet-size 1231", "1232"], ["devnet", "--packet-size", "1231"]),
            (["--packet-size 9000"], ["network", "create", "--dir", "x", "--packet-size", "9000"]),
            (["--exits 9"], ["network", "create", "--dir", "x", "--exits", "9"]),
            (["--base-port"], ["network", "create", "--dir", "x", "--base-port", "65534"]),
            (["10.0.0.1", "--local"], ["network", "create", "--dir", "x", "--base-address", "10.0.0.1"]),
            (["do not match"], ["network", "create", "--dir", "x", "--nodes", "3", "--address", "8.8.8.8:1"]),
        ]:
            with self.subTest(arguments=arguments):
                self.assert_fails(64, words, *arguments)

    def test_l3_only_the_loopback_unless_something_else_is_said(self):
        for words, arguments in [
            (["loopback", "--allow-remote"], ["--socks", "0.0.0.0:1080"]),
            (["loopback", "--allow-remote"], ["--socks", "192.168.1.1:1080"]),
            (["loopback", "--allow-remote"], ["--socks", "[::]:1080"]),
            (["loopback"], ["--dns", "0.0.0.0:5353"]),
            (["loopback"], ["--allow-remote", "--dns", "0.0.0.0:5353"]),
            (["only this machine"], ["--allow-remote", "--set", "web.listen=0.0.0.0:8000"]),
            (["only this machine"], ["--allow-remote", "--set", "metrics.listen=[::]:9464"]),
        ]:
            with self.subTest(arguments=arguments):
                code, out, err = run("client", "--network", "network.json", *arguments)
                self.assertNotEqual(code, 0)
                for word in words:
                    self.assertIn(word, err)
        self.assert_fails(64, ["loopback"], "devnet", "--socks", "[::]:1080")

    def test_help_and_version_succeed(self):
        for arguments in (["--help"], ["--version"], ["version"], ["client", "--help"], ["relay", "--help"],
                          ["network", "--help"], ["network", "create", "--help"], ["devnet", "--help"],
                          ["paths", "--help"], ["status", "--help"], ["bench", "--help"]):
            with self.subTest(arguments=arguments):
                code, out, err = run(*arguments)
                self.assertEqual((code, err), (0, ""))
                self.assertIn("tunic", out)
                if arguments[-1] == "--help":
                    self.assertRegex(out, "Example|A whole network")

    def test_the_help_has_every_exit_code(self):
        out = run("--help")[1]
        codes = re.findall(r"^ +(\d+(?:\+n)?)  \S", out, re.M)
        self.assertEqual(codes, "1 64 65 66 69 70 71 73 74 75 77 78 126 127 128+n".split())
        self.assertIn("/etc/tunic/tunic.toml", re.sub(r"\s+", " ", run("client", "--help")[1]))

    def test_the_version_names_the_commit_that_was_built(self):
        code, out, err = run("version")
        self.assertRegex(out, r"\Atunic \d+\.\d+\.\d+\+([0-9a-f]{12}(\.modified)?|unknown) \((debug|release), \w+\)\n\Z")
        self.assertEqual(out, run("--version")[1])

    def test_output_that_nobody_takes_is_a_failure(self):
        for arguments in (["config", "default"], ["version"], ["--help"]):
            with self.subTest(arguments=arguments), open("/dev/full", "w") as full:
                done = subprocess.run(
                    [binary(), *arguments], stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True)
                self.assertEqual(done.returncode, 74)
                self.assertRegex(done.stderr, r"\Atunic: cannot write to standard output: [^\n]*\n\Z")


class Files(CommandLineTest):
    def client(self, network, *more):
        return ["client", "--network", network, "--data", self.folder / "data", "--socks", "127.0.0.1:0", *more]

    def relay(self, network, node=1, *more):
        data = network.parent / f"node-{node}"
        return ["relay", "--network", network, "--data", data, "--listen", "127.0.0.1:0", *more]

    def test_a_word_that_is_no_command(self):
        for words, meant, where in [(["stauts"], "'status'", "tunic --help"), (["config", "chekc"], "'check'", "tunic config --help")]:
            self.assert_fails(64, [f"no command '{words[-1]}'", meant, where], *words)

    def test_s8_the_guides_addresses_make_a_network(self):
        addresses = [word for number in range(3) for word in ("--address", f"198.51.100.{number + 7}:7100")]
        code, out, err = run("network", "create", "--dir", self.folder / "net", *addresses)
        self.assertEqual(code, 0, err)
        # What it prints starts a node in the folder to which the files were copied. There is no such address here.
        start = next(line for line in out.splitlines() if "--public 198.51.100.7:7100" in line).split()
        self.assertEqual(start[:2], ["tunic", "relay"])
        port = free_port()
        words = ["127.0.0.1:%d" % port if word == "0.0.0.0:7100" else word for word in start[1:]]
        with subprocess.Popen([binary(), *words], cwd=self.folder / "net", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as node:
            line = node.stderr.readline()
            while line and "started" not in line:
                line = node.stderr.readline()
            node.terminate()
            self.assertIn("started", line)
            node.stderr.read()
        self.assert_fails(
            69, ["198.51.100.7:7100 is not an address of this machine", "--listen 0.0.0.0:7100 --public 198.51.100.7:7100"],
            "relay", "--network", self.folder / "net" / "network.json", "--listen", "198.51.100.7:7100", "--data",
            self.folder / "net" / "node-1")
        self.assert_fails(
            64, ["10.0.0.7 is not a public address"], "network", "create", "--dir", self.folder / "other", "--address", "10.0.0.7:7100")

    def test_network_file(self):
        path = self.folder / "network.json"
        self.assert_fails(66, [path], *self.client(path))
        path.write_text("not json")
        self.assert_fails(65, [path, "JSON"], *self.client(path))
        path.write_text("{}")
        self.assert_fails(65, [path, "lacks"], *self.client(path))
        path.unlink()
        path.mkdir()
        self.assert_fails(71, [path], *self.client(path))
        self.assertFalse((self.folder / "data").exists())

    def test_a_network_file_that_was_cut_or_garbled(self):
        raw = self.make_network().read_bytes()
        path = self.folder / "changed.json"
        for name, content in [
            ("empty", b""), ("half", raw[:len(raw) // 2]), ("without its end", raw.rstrip()[:-1]), ("zeros", bytes(1000)),
            ("noise", os.urandom(5000)), ("deep", b"[" * 100_000), ("no UTF-8", raw.replace(b'"id"', b'"\xff"')),
            ("another file", b"[1]"),
        ]:
            with self.subTest(name):
                path.write_bytes(content)
                self.assert_fails(65, [path, "not JSON", "get it again"], *self.client(path))
        path.write_bytes(b" " * (5 << 20))
        self.assert_fails(65, [path, "too large"], *self.client(path))
        self.assertFalse((self.folder / "data").exists())

    def test_network_file_values(self):
        path = self.make_network()
        whole = json.loads(path.read_text())
        changed = self.folder / "changed.json"
        changed.write_text(json.dumps({**whole, "packetsize": 1300}))
        self.assert_fails(65, [changed, "packetsize", "packetSize"], *self.client(changed))
        changed.write_text(json.dumps({**whole, "packetSize": 100}))
        self.assert_fails(65, [changed, "packetSize", "1232"], *self.client(changed))
        snapshot = whole["snapshot"]
        for place in (0, 10, len(snapshot) // 2, len(snapshot) - 6):
            broken = snapshot[:place] + ("A" if snapshot[place] != "A" else "B") + snapshot[place + 1:]
            changed.write_text(json.dumps({**whole, "snapshot": broken}))
            self.assert_fails(65, [changed, "snapshot", "wrong: "], *self.client(changed))

    def test_key_file(self):
        network = self.make_network()
        key = network.parent / "node-1" / "identity.key"
        self.assertEqual(key.stat().st_mode & 0o777, 0o600)
        key.chmod(0o644)
        self.assert_fails(77, [key, "chmod 600"], *self.relay(network))
        key.chmod(0o600)
        whole = key.read_bytes()
        key.write_bytes(whole[:-1])
        self.assert_fails(65, [key, "damaged"], *self.relay(network))
        key.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        self.assert_fails(65, [key, "damaged"], *self.relay(network))
        key.unlink()
        self.assert_fails(66, [key, "network create"], *self.relay(network))

    def test_data_folder(self):
        network = self.make_network()
        deep = self.folder / "no" / "such" / "folder"
        self.assert_fails(66, [deep], "client", "--network", network, "--data", deep, "--socks", "127.0.0.1:0")
        self.assertFalse((self.folder / "no").exists())
        wide = self.folder / "wide"
        wide.mkdir()
        wide.chmod(0o755)
        self.assert_fails(77, [wide, "chmod 700"], "client", "--network", network, "--data", wide, "--socks", "127.0.0.1:0")
        database = self.folder / "kept" / "tunic.sqlite"
        database.parent.mkdir(0o700)
        database.write_bytes(os.urandom(8192))
        database.chmod(0o600)
        before = database.read_bytes()
        self.assert_fails(65, [database, "damaged"], "client", "--network", network, "--data", database.parent, "--socks", "127.0.0.1:0")
        self.assertEqual(database.read_bytes(), before)
        file = self.folder / "file"
        file.touch()
        self.assert_fails(65, [file], "client", "--network", network, "--data", file, "--socks", "127.0.0.1:0")

    def test_socket_path(self):
        network = self.make_network()
        long = "/tmp/" + "a" * 120
        self.assert_fails(78, [long, "107"], *self.client(network, "--control", long))
        self.assert_fails(78, [long, "107"], "status", "--control", long)
        self.assert_fails(78, ["107", "--dir"], "devnet", "--socks", "127.0.0.1:0", "--dir", self.folder / ("b" * 110))
        self.assertFalse((self.folder / ("b" * 110)).exists())

    def test_nothing_is_overwritten(self):
        network = self.make_network()
        before = {path: path.read_bytes() for path in network.parent.rglob("*") if path.is_file()}
        self.assert_fails(73, ["is there already"], "network", "create", "--dir", network.parent, "--nodes", 3)
        self.assert_fails(73, ["is there already"], "devnet", "--socks", "127.0.0.1:0", "--dir", network.parent)
        self.assertEqual(before, {path: path.read_bytes() for path in network.parent.rglob("*") if path.is_file()})

    def test_network_without_a_parent_folder(self):
        self.assert_fails(66, [self.folder / "no" / "net"], "network", "create", "--dir", self.folder / "no" / "net")


class Running(CommandLineTest):
    def start(self, *arguments):
        process = subprocess.Popen([binary(), *map(str, arguments)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)

        def stop():
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stderr.close()
        self.addCleanup(stop)
        return process

    def relay(self, network, *more):
        return ["relay", "--network", network, "--data", network.parent / "node-1", *more]

    def test_a_relay_answers_and_ends(self):
        network = self.make_network()
        control = network.parent / "node-1" / "control.sock"
        relay = self.start(*self.relay(network, "--listen", "127.0.0.1:0"))
        wait_until(lambda: answers(str(control)))
        self.assertEqual(control.stat().st_mode & 0o777, 0o600)
        # A lone relay is not ready, and its status says so.
        code, out, err = run("status", "--control", control, "--json")
        self.assertEqual((code, err), (1, ""))
        report = json.loads(out)
        self.assertEqual((report["role"], report["exit"], report["ready"]), ("relay", False, False))
        code, out, _ = run("status", "--control", control)
        self.assertEqual(code, 1)
        self.assertIn(report["node"], out)
        self.assert_fails(69, [control, "relay"], "paths", "--control", control)
        # The data folder and the socket are in use.
        self.assert_fails(75, [network.parent / "node-1", relay.pid], *self.relay(network, "--listen", "127.0.0.1:0"))
        with open(f"/proc/{relay.pid}/limits") as limits:
            self.assertRegex(limits.read(), r"Max core file size +0 +0 ")
        relay.send_signal(signal.SIGHUP)
        relay.send_signal(signal.SIGTERM)
        self.assertEqual(relay.wait(40), 0)
        self.assertFalse(control.exists())
        self.assert_fails(69, [control], "status", "--control", control)

    def test_an_address_in_use(self):
        network = self.make_network()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            self.assert_fails(69, [address, "--listen"], *self.relay(network, "--listen", address))
            # The message names the address that is in use, and no other.
            self.assert_fails(69, [f"tunic: {address} ", "--listen"], *self.relay(network, "--listen", f"[::1]:0,{address}"))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            self.assert_fails(
                69, [address, "--socks"], "client", "--network", network, "--data", self.folder / "data", "--socks", address)
            client = ["client", "--network", network, "--data", self.folder / "data", "--socks", "127.0.0.1:0"]
            self.assert_fails(69, [f"tunic: {address} ", "with --socks"], *client, "--socks", address, "--dns", "127.0.0.1:0")
            self.assert_fails(69, [f"tunic: {address} ", "with --dns"], *client, "--dns", "127.0.0.1:0", "--dns", address)
            self.assert_fails(69, [address, "--socks"], "devnet", "--socks", address)
        self.assert_fails(69, ["192.0.2.1:7"], *self.relay(network, "--listen", "192.0.2.1:7"))

    def test_a_dead_process_is_told_from_none(self):
        network = self.make_network()
        control = network.parent / "node-1" / "control.sock"
        relay = self.start(*self.relay(network, "--listen", "127.0.0.1:0"))
        wait_until(lambda: answers(str(control)))
        relay.kill()
        relay.wait()
        self.assert_fails(69, [control, "ended"], "status", "--control", control)
        # The lock and the socket of a dead process do not prevent a new start.
        relay = self.start(*self.relay(network, "--listen", "127.0.0.1:0"))
        wait_until(lambda: run("status", "--control", control)[0] == 1)


class DevnetLife(unittest.TestCase):
    def test_the_line_and_the_end(self):
        with Devnet(nodes=4, exits=1) as net:
            self.assertEqual(len(net.nodes), 4)
            self.assertEqual(sum(node.exit for node in net.nodes), 1)
            self.assertTrue(net.status()["ready"])
            self.assertEqual(net.status()["socks"], ["%s:%d" % net.socks])
            for node in net.nodes:
                self.assertEqual(node.status()["node"], node.id)
            folder = pathlib.Path(net.control).parent.parent
            self.assertTrue(all(is_running(pid) for pid in net.pids))
        self.assertEqual(net.process.returncode, 0)
        self.assertFalse(any(is_running(pid) for pid in net.pids))
        self.assertFalse(folder.exists())

    def test_a_killed_devnet_takes_all_with_it(self):
        with Devnet(nodes=3, exits=1) as net:
            net.process.kill()
            net.process.wait()
            wait_until(lambda: not any(is_running(pid) for pid in net.pids))
            subprocess.run(["rm", "-rf", pathlib.Path(net.control).parent.parent], check=True)

    def test_a_signal_at_the_start_leaves_no_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            devnet = subprocess.Popen(
                [binary(), "devnet", "--nodes", "3", "--exits", "1", "--socks", "127.0.0.1:0"], env={**os.environ, "TMPDIR": folder},
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while not os.listdir(folder):
                pass
            devnet.terminate()
            self.assertEqual(devnet.wait(30), 128 + signal.SIGTERM)
            self.assertEqual(os.listdir(folder), [])

    def test_the_others_go_on_without_a_node(self):
        with Devnet(nodes=4, exits=1) as net:
            net.nodes[0].kill()
            wait_until(lambda: not net.nodes[0].is_running)
            self.assertTrue(all(is_running(pid) for pid in net.pids if pid != net.nodes[0].pid))
            self.assertIsNone(net.process.poll())

    def test_a_command_gets_the_proxy_and_gives_its_status(self):
        script = 'test "$ALL_PROXY" = "socks5h://$TUNIC_SOCKS" && test -S "$TUNIC_CONTROL" && test -z "$NO_PROXY" && exit 7'
        code, _, err = run(
            "devnet", "--nodes", 3, "--exits", 1, "--socks", "127.0.0.1:0", "--", "sh", "-c", script,
            environment={"NO_PROXY": "127.0.0.1"})
        self.assertEqual(code, 7, err)

    def test_a_missing_command(self):
        code, _, err = run("devnet", "--nodes", 3, "--exits", 1, "--socks", "127.0.0.1:0", "--", "/no/such/command")
        self.assertEqual(code, 127, err)
        self.assertIn("/no/such/command", err)


if __name__ == "__main__":
    unittest.main()
