"""A process under a stand-in for systemd: notices, watchdog, passed sockets."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from devnet import ask, binary
from test_command_line import run


class Systemd(unittest.TestCase):
    """Stands in for systemd: notices, watchdog, passed sockets."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="tunic-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        code, _, err = run("network", "create", "--dir", self.folder / "net", "--nodes", 3, "--local")
        self.assertEqual(code, 0, err)
        self.file = self.folder / "tunic.toml"
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.notices.close)
        self.notices.bind(str(self.folder / "notify"))
        self.notices.settimeout(20)

    def start(self, settings, sockets=(), **environment):
        self.file.write_text(f'network = "{self.folder}/net/network.json"\ndata = "{self.folder}/data"\n{settings}')
        (self.folder / "data").mkdir(mode=0o700, exist_ok=True)
        names = ":".join(name for name, _ in sockets)
        descriptors = [s.fileno() for _, s in sockets]

        # A small program between the two processes sets the descriptor's number and LISTEN_PID.
        program = (
            "import os,sys\n"
            f"fds={descriptors}\n"
            "high=[os.dup2(fd,100+i) for i,fd in enumerate(fds)]\n"
            "[os.dup2(fd,3+i) for i,fd in enumerate(high)]\n"
            "os.environ.update(LISTEN_PID=str(os.getpid()),WATCHDOG_PID=str(os.getpid()))\n"
            "os.execv(sys.argv[1],sys.argv[1:])")
        self.process = subprocess.Popen(
            ["python3", "-c", program, binary(), "run", "--config", str(self.file)], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, pass_fds=descriptors,
            env={**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify"), "LISTEN_FDS": str(len(sockets)),
                 "LISTEN_FDNAMES": names, **environment})
        self.addCleanup(self.process.stderr.close)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)

    def hear(self, wanted):
        """All notices up to one that contains `wanted`."""
        heard = []
        while not any(wanted in notice for notice in heard):
            heard.append(self.notices.recv(4096).decode())
        return heard

    def test_ready_watchdog_reload_and_stopping(self):
        self.start('[client]\nsocks = ["127.0.0.1:0"]\n', WATCHDOG_USEC="400000")
        self.hear("READY=1")
        begin = time.monotonic()
        for _ in range(4):
            self.hear("WATCHDOG=1")
        self.assertLess(time.monotonic() - begin, 10)
        self.process.send_signal(signal.SIGHUP)
        self.assertIn("MONOTONIC_USEC=", self.hear("RELOADING=1")[-1])
        self.hear("READY=1")
        self.process.terminate()
        self.hear("STOPPING=1")
        self.assertEqual(self.process.wait(60), 0)

    def test_sockets_are_taken_over(self):
        with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
            unix.bind(str(self.folder / "apps"))
            unix.listen()
            self.start('[client]\nsocks = ["systemd:socks", "systemd:local"]\n', [("socks", tcp), ("local", unix)])
            self.hear("READY=1")
            for family, address in [(socket.AF_INET, tcp.getsockname()), (socket.AF_UNIX, str(self.folder / "apps"))]:
                with socket.socket(family) as app:
                    app.settimeout(10)
                    app.connect(address)
                    app.sendall(b"\x05\x01\x00")
                    self.assertEqual(app.recv(2), b"\x05\x00")
        self.assertTrue((self.folder / "apps").exists(), "the file is systemd's")

    def test_l3_a_socket_that_others_reach_is_taken_over_only_where_that_is_allowed(self):
        with socket.create_server(("0.0.0.0", 0)) as tcp:
            self.start('[client]\nsocks = ["systemd:socks"]\n', [("socks", tcp)])
            self.assertEqual(self.process.wait(60), 78)
            complaint = self.process.stderr.read()
            for word in ("systemd:socks", "0.0.0.0:%d" % tcp.getsockname()[1], "loopback", "allow_remote"):
                self.assertIn(word, complaint)
            self.start('[client]\nsocks = ["systemd:socks"]\nallow_remote = true\n', [("socks", tcp)])
            self.hear("READY=1")

    def test_sockets_of_one_name_and_those_that_nobody_names(self):
        with contextlib.ExitStack() as stack:
            one, two, other = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3))

            def addresses():
                return ask(str(self.folder / "data" / "control.sock"), "status")["socks"]

            def reload(line):
                self.file.write_text(self.file.read_text().replace(self.line, line))
                self.line = line
                self.process.send_signal(signal.SIGHUP)
                self.hear("RELOADING=1")
                self.hear("READY=1")

            self.line = 'socks = ["systemd:socks"]'
            self.start(f"[client]\n{self.line}\n", [("socks", one), ("socks", two), ("other", other)])
            self.hear("READY=1")
            wanted = ["127.0.0.1:%d" % s.getsockname()[1] for s in (one, two)]
            self.assertEqual(addresses(), wanted)
            reload('socks = ["systemd:socks#2"]')
            self.assertEqual(addresses(), wanted[1:])
            # A listener that was left out for a while can be opened again.
            reload('socks = ["systemd:socks"]')
            self.assertEqual(sorted(addresses()), sorted(wanted))
            for given in (one, two):
                with socket.create_connection(given.getsockname(), 10) as app:
                    app.sendall(b"\x05\x01\x00")
                    self.assertEqual(app.recv(2), b"\x05\x00")
            self.process.terminate()
            self.assertEqual(self.process.wait(60), 0)
            warnings = [line for line in self.process.stderr.read().splitlines() if "no setting uses" in line]
            self.assertTrue(warnings and all("other" in line or "socks" in line for line in warnings))
            self.assertTrue(any("other" in line for line in warnings))

    def test_a_socket_that_was_not_handed_over(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", 0))
            for sockets, word in [((), "FileDescriptorName="), ([("socks", udp)], "ListenStream=")]:
                self.start('[client]\nsocks = ["127.0.0.1:0", "systemd:socks"]\n', sockets)
                self.assertEqual(self.process.wait(60), 69)
                complaint = self.process.stderr.read()
                for part in ("systemd:socks", word):
                    self.assertIn(part, complaint)
                self.assertNotIn("127.0.0.1:0", complaint)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "needs systemd-analyze")
    def test_the_unit_is_locked_down(self):
        """K9, as far as a unit implements it."""
        unit = pathlib.Path(__file__).parents[2] / "contrib" / "systemd" / "tunic.service"
        out = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", unit], capture_output=True, text=True).stdout
        self.assertLessEqual(float(re.search(r"exposure level for \S+: ([0-9.]+)", out)[1]), 2.0)


if __name__ == "__main__":
    unittest.main()
