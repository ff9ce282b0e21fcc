"""The configuration file: which values count, which are refused, and which a running process applies at SIGHUP."""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

from devnet import answers, ask, binary, wait_until
from network import Network, free_port
from peers import Peer, digest, download
from test_command_line import run


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="tunic-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.file = self.folder / "tunic.toml"

    def write(self, text):
        self.file.write_text(text)
        return self.file

    def make_network(self, nodes=3):
        code, _, err = run("network", "create", "--dir", self.folder / "net", "--nodes", nodes, "--local")
        self.assertEqual(code, 0, err)
        return self.folder / "net" / "network.json"


class Check(Folder):
    def check(self, *arguments, **environment):
        return run("config", "check", self.file, *arguments, environment=environment)

    def test_the_default_file_is_without_mistakes(self):
        code, text, err = run("config", "default")
        self.assertEqual((code, err), (0, ""))
        network = self.make_network()
        self.write(text.replace('#network = "/etc/tunic/network.json"', f'network = "{network}"'))
        code, out, err = self.check()
        self.assertEqual(code, 0, err)
        self.assertIn("no mistakes", out)

    def test_s6_a_relays_file_without_a_data_folder_is_none_of_mistakes(self):
        """The service gets its data folder from systemd, which does not set it when a user checks the file."""
        self.write(f'network = "{self.make_network()}"\n[relay]\nlisten = ["198.51.100.7:7100"]\n')
        code, out, err = self.check(STATE_DIRECTORY="")
        self.assertEqual(code, 0, out + err)
        self.assertIn("no 'data' is named", err)

    def test_faults_have_file_line_key_and_remedy(self):
        network = self.make_network()
        begin = f'network = "{network}"\n'
        for text, words in [
            ("[client]\nhop = 3\n", [":3: client.hop: ", "did you mean client.hops?"]),
            ("[client]\nsocks = ['0.0.0.0:1']\n", [":3: client.socks: ", "loopback", "allow_remote"]),
            ("[client]\nsocks = ['localhost']\n", [":3: client.socks: ", "127.0.0.1:1080"]),
            ("[client]\n[web]\nlisten = '0.0.0.0:80'\n", [":4: web.listen: ", "127.0.0.1:PORT"]),
            ("[relay]\nexit = true\n", ["relay.listen: ", "--listen"]),
            ("data = '/x'\n[relay]\nlisten = ['0.0.0.0:1']\n", [":4: relay.listen: ", "--public"]),
            ("data = '/x'\n[relay]\nlisten = ['1.2.3.4:1']\nexit_allow = ['10.0.0.0/33']\nexit = true\n", [":5: relay.exit_allow: ", "10.0.0.0/33"]),
            ("data = '/x'\n[relay]\nlisten = ['1.2.3.4:1']\nexit_policy = ['accept *:80, reject *:+1']\nexit = true\n", [":5: relay.exit_policy: ", "'reject *:+1'"]),
            ("data = '/x'\n[relay]\nlisten = ['1.2.3.4:1']\nexit_policy = ['reject private:*']\n", [":5: relay.exit_policy: ", "exit = true"]),
            ("[client]\nsocks = ['127.0.0.1:7001']\n[metrics]\nlisten = '127.0.0.1:7001'\n", [":5: metrics.listen: ", "client.socks"]),
            ("[client]\n[web]\nlisten = '[::1]:7001'\n[metrics]\nlisten = '[::1]:7001'\n", [":6: metrics.listen: ", "web.listen"]),
            ("[client\n", [":2: this is not valid TOML"]),
            ("[client]\nhops = 2\nhops = 3\n", [":4: this is not valid TOML", "hops"]),
            ("[client]\nhops = '2'\n", [":3: client.hops: ", "whole number"]),
            ("", ["neither", "[client]", "[relay]"]),
        ]:
            with self.subTest(text):
                self.write(begin + text)
                code, out, err = self.check()
                self.assertEqual(code, 78, err)
                self.assertEqual(out, "")
                for word in words:
                    self.assertIn(word, err)
                if ":" in words[0]:
                    self.assertIn(str(self.file) if words[0][0] == ":" else "relay", err)

    def test_every_fault_at_once_and_as_json(self):
        self.write("[client]\nhops = 9\nsock = []\n")
        code, out, _ = self.check("--json")
        self.assertEqual(code, 78)
        problems = json.loads(out)["problems"]
        self.assertEqual([(p["place"].rsplit(":", 1)[1], p["key"]) for p in problems], [("2", "client.hops"), ("3", "client.sock")])

    def test_the_first_fault_of_each_role_and_the_network_file(self):
        broken = self.folder / "broken.json"
        broken.write_text('{"format": 1}')
        for network, words in [(self.folder / "none.json", "No such file"), (self.folder, "Is a directory"), (broken, "broken.json")]:
            with self.subTest(network=network):
                self.write(f'network = "{network}"\ndata = "/x"\n[client]\nsocks = ["localhost"]\n[relay]\nlisten = ["localhost"]\n')
                code, _, err = self.check()
                self.assertEqual(code, 78)
                lines = sorted(line.removeprefix(f"tunic: {self.file}:") for line in err.splitlines())
                self.assertEqual([line.split(": ")[:2] for line in lines], [["1", "network"], ["4", "client.socks"], ["6", "relay.listen"]], err)
                self.assertIn(words, lines[0])

    def test_what_is_no_configuration_file(self):
        network = self.make_network()
        for content, words in [(None, "Is a directory"), (b"\xff\xfe", "not text in UTF-8"), (b" " * (1 << 20 | 1), "too large")]:
            with self.subTest(words):
                self.file.write_bytes(content) if content else self.file.mkdir()
                code, _, err = self.check()
                self.assertEqual(code, 78)
                self.assertIn(words, err)
                self.assertNotIn("--config", err)
                self.file.unlink() if content else self.file.rmdir()
        # The check of a valid file creates nothing.
        self.write(f'network = "{network}"\n[client]\n')
        home = self.folder / "home"
        home.mkdir()
        code, _, err = self.check(HOME=str(home), XDG_STATE_HOME="", XDG_DATA_HOME="")
        self.assertEqual((code, list(home.iterdir())), (0, []), err)

    def test_the_environment_is_looked_at(self):
        self.write(f'network = "{self.make_network()}"\n[client]\n')
        code, _, err = self.check(TUNIC_CLIENT_HOPS="7")
        self.assertEqual(code, 78)
        self.assertIn("TUNIC_CLIENT_HOPS", err)
        code, _, err = self.check(TUNIC_CLIENT_HOP="2")
        self.assertIn("did you mean TUNIC_CLIENT_HOPS?", err)

    def test_a_file_that_is_not_there(self):
        code, _, err = run("run", "--config", self.folder / "none.toml")
        self.assertEqual(code, 66, err)
        self.assertIn("none.toml", err)


class ChildrenOfOthers(Folder):
    """The networks of `tunic devnet` and `tunic bench` do not use the configuration of the user who starts them."""

    def alone(self, *arguments, lines="", **environment):
        """Runs a command for a user who has a configuration with `lines`."""
        (self.folder / "tunic").mkdir()
        (self.folder / "tunic" / "tunic.toml").write_text(lines)
        return run(*arguments, environment={"TUNIC_CONFIG": "", "XDG_CONFIG_HOME": str(self.folder), **environment})

    def devnet(self, *command, **options):
        code, _, err = self.alone(
            "devnet", "--nodes", 3, "--exits", 1, "--socks", "127.0.0.1:0", "--", *(command or ["true"]), **options)
        self.assertEqual(code, 0, err)

    def taken(self):
        """An address that is in use, for TCP and UDP."""
        port = free_port()
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            sock = socket.socket(socket.AF_INET, kind)
            self.addCleanup(sock.close)
            sock.bind(("127.0.0.1", port))
            if kind == socket.SOCK_STREAM:
                sock.listen()
        return f"127.0.0.1:{port}"

    def test_c1_bench_beside_a_client_that_answers_dns(self):
        code, _, err = self.alone(
            "bench", "--seconds", "0.2", "--streams", "1", "--hops", "2", lines=f'[client]\ndns = ["{self.taken()}"]\n')
        self.assertEqual(code, 0, err)

    def test_c1_devnet_of_a_user_who_chose_exits(self):
        self.devnet(lines='[client]\nexits = ["country:SE"]\n')

    def test_c1_devnet_where_the_environment_chooses_exits(self):
        self.devnet(TUNIC_CLIENT_EXITS="country:SE")

    def test_c1_devnet_of_an_operator_whose_relay_is_slow(self):
        with Peer() as peer:
            # At 100 kB/s the download would take minutes.
            script = ("import os, sys; from peers import *; host, port = os.environ['TUNIC_SOCKS'].split(':'); "
                      "sys.exit(download((host, int(port)), int(sys.argv[1]), 30_000_000, timeout=60) != digest(30_000_000))")
            self.devnet(
                "env", f"PYTHONPATH={pathlib.Path(__file__).parent}", sys.executable, "-c", script, peer.port,
                lines="[relay]\nrate = 100000\n")

    def test_c1_devnet_beside_a_process_that_serves_figures(self):
        self.devnet(lines=f'[metrics]\nlisten = "{self.taken()}"\n')

    def test_c1_a_configuration_that_nobody_could_read(self):
        """The processes of the network also ignore a service manager's environment variables."""
        self.devnet(lines="] this is no TOML", CONFIGURATION_DIRECTORY=str(self.folder / "tunic"), NOTIFY_SOCKET="@nobody",
                    STATE_DIRECTORY="/nowhere", WATCHDOG_USEC="1000000", TUNIC_RELAY_COUNTRY="Sweden")


class Running(Folder):
    """A client with a file, in a network whose nodes do not run: it starts and answers anyway."""

    def start(self, *arguments, command="run", **environment):
        process = subprocess.Popen(
            [binary(), command, "--config", self.file, *map(str, arguments)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.process = process
        self.control = str(self.folder / "data" / "control.sock")
        wait_until(lambda: answers(self.control) or process.poll() is not None)
        self.assertIsNone(process.poll(), process.poll() is not None and process.stderr.read())
        return process

    def client(self, lines="", top=""):
        network = self.folder / "net" / "network.json"
        if not network.exists():
            self.make_network()
        (self.folder / "data").mkdir(mode=0o700, exist_ok=True)
        return self.write(
            f'network = "{network}"\ndata = "{self.folder}/data"\n{top}[client]\nsocks = ["127.0.0.1:0"]\n{lines}')

    def reload(self):
        try:
            return ask(self.control, "reload")
        except RuntimeError as refused:
            return {"error": str(refused)}

    def test_options_count_before_environment_and_file(self):
        port, other = free_port(), free_port()
        self.client()
        self.start("--set", f"client.socks=127.0.0.1:{port}", TUNIC_CLIENT_SOCKS=f"127.0.0.1:{other}")
        self.assertEqual(ask(self.control, "status")["socks"], [f"127.0.0.1:{port}"])

    def test_r9_a_want_of_descriptors_is_said(self):
        self.client()
        process = self.start()
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (90, 90))
        port = int(ask(self.control, "status")["socks"][0].rpartition(":")[2])
        with contextlib.ExitStack() as stack:
            for _ in range(40):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            wait_until(lambda: "are refused" in (ask(self.control, "status").get("problem") or ""))

    def test_systemds_folders(self):
        """With DynamicUser= the data folder is a symbolic link to a private folder."""
        self.client()
        private = self.folder / "private"
        (self.folder / "data").rename(private)
        (self.folder / "data").symlink_to(private)
        self.file.write_text(self.file.read_text().replace("data =", "#data ="))
        runtime = self.folder / "run"
        runtime.mkdir()
        process = subprocess.Popen(
            [binary(), "run"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "TUNIC_CONFIG": "", "CONFIGURATION_DIRECTORY": str(self.folder), "STATE_DIRECTORY": f"{self.folder}/data",
                 "RUNTIME_DIRECTORY": str(runtime)})
        try:
            def role():
                self.assertIsNone(process.poll())
                with contextlib.suppress(OSError):
                    return ask(str(runtime / "control.sock"), "status")["role"]

            self.assertEqual(wait_until(role), "client")
            self.assertTrue((self.folder / "data" / "tunic.sqlite").exists())
        finally:
            process.kill()
            process.wait()
            process.stderr.close()

    def test_k10_a_reload_is_all_or_nothing(self):
        """K10: a broken file changes nothing, and a setting that cannot change is reported."""
        self.client()
        process = self.start()
        before = ask(self.control, "status")["socks"]
        port = free_port()
        good = self.file.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}")

        self.file.write_text(good + "hop = 3\n")
        self.assertIn("did you mean client.hops?", self.reload()["error"])
        self.assertEqual(ask(self.control, "status")["socks"], before)

        self.file.write_text(good + "hops = 2\n")
        self.assertIn("client.hops cannot change while the process runs", self.reload()["error"])
        self.assertEqual(ask(self.control, "status")["socks"], before)

        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            busy = f"127.0.0.1:{taken.getsockname()[1]}"
            self.file.write_text(good.replace('"]', f'", "{busy}"]'))
            self.assertIn(busy, self.reload()["error"])
            self.assertEqual(ask(self.control, "status")["socks"], before)

        self.file.write_text(good)
        self.assertIn("client.socks", self.reload()["done"])
        self.assertEqual(ask(self.control, "status")["socks"], [f"127.0.0.1:{port}"])
        with socket.create_connection(("127.0.0.1", port), 5):
            pass
        with self.assertRaises(OSError):
            socket.create_connection(("127.0.0.1", int(before[0].rsplit(":", 1)[1])), 5)
        self.assertIn("nothing has changed", self.reload()["done"])

    def test_sighup_reads_again(self):
        self.client()
        process = self.start()
        self.file.write_text(self.file.read_text() + "[log]\nlevel = 'notice'\nformat = 'json'\n")
        process.send_signal(signal.SIGHUP)
        line = ""
        while not line.startswith("{"):
            line = process.stderr.readline()
            if "read again" in line:
                process.send_signal(signal.SIGTERM)
            self.assertNotEqual(line, "")
        self.assertEqual(json.loads(line)["level"], "notice")

    def test_a_log_that_nobody_reads_holds_nothing_up(self):
        self.client()
        process = self.start()
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)

        def make_a_line():
            process.send_signal(signal.SIGHUP)
            ask(self.control, "status")

        for _ in range(100):
            make_a_line()
        # Reading makes room in the pipe again.
        line = process.stderr.readline()
        make_a_line()
        while "lines were dropped" not in line:
            line = process.stderr.readline()
            self.assertNotEqual(line, "")
        self.assertGreater(int(line.rsplit("count=", 1)[1]), 10)


class Both(unittest.TestCase):
    def test_a_client_and_a_relay_in_one_process(self):
        with Network([[f"127.0.0.1:{free_port()}"] for _ in range(4)], exits=1) as net:
            net.start_nodes()
            wait_until(lambda: all(node.status()["descriptors"] == 4 for node in net.nodes))
            # Restart the first node, with a client in the same process.
            first = net.nodes[0].process
            first.terminate()
            first.wait()
            folder = net.folder / "net" / "node-1"
            file = net.folder / "both.toml"
            file.write_text(
                f'network = "{net.file}"\ndata = "{folder}"\n[client]\nsocks = ["127.0.0.1:0"]\nhops = 2\n'
                f'[relay]\nlisten = ["{net.addresses[0][0]}"]\n')
            with open(f"{folder}.log", "wb") as log:
                process = subprocess.Popen([binary(), "run", "--config", file], stdout=subprocess.DEVNULL, stderr=log)
            try:
                control = str(folder / "control.sock")

                def status():
                    try:
                        return ask(control, "status")
                    except OSError:
                        return {}

                wait_until(lambda: status().get("ready") and status()["others"][0]["descriptors"] == 4)
                report = status()
                self.assertEqual((report["role"], report["others"][0]["role"]), ("client", "relay"))
                own = report["others"][0]["node"]
                shown = subprocess.run([binary(), "status", "--control", control], capture_output=True, text=True).stdout
                for line in (r"^role +client", r"^role +relay", r"^node +" + own):
                    self.assertRegex(shown, re.compile(line, re.MULTILINE), "each role has its table")
                for path in ask(control, "paths")["paths"]:
                    self.assertNotIn(own, path["hops"], "P7: the own node is in no path")
                process.terminate()
                self.assertEqual(process.wait(40), 0)
            finally:
                process.kill()
                process.wait()


if __name__ == "__main__":
    unittest.main()
