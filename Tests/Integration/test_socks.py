"""The proxy port for apps and others: SOCKS case by case, isolation, and many silent clients."""
import os
import socket
import subprocess
import tempfile
import time
import unittest

from devnet import Devnet, answers, ask, binary, wait_until
from network import has_ipv6
from peers import Peer, read_exactly, socks_connect
from socks_cases import cases, converse

SILENT = int(os.environ.get("TUNIC_SILENT_APPS", "300"))


class Socks(unittest.TestCase):
    """One network for all."""

    @classmethod
    def setUpClass(cls):
        cls.net = cls.enterClassContext(Devnet())
        cls.peer = cls.enterClassContext(Peer())
        cls.network = os.path.join(os.path.dirname(os.path.dirname(cls.net.control)), "network.json")

    def second_client(self, *socks):
        folder = tempfile.TemporaryDirectory(prefix="tunic-test-")
        self.addCleanup(folder.cleanup)
        client = subprocess.Popen(
            [binary(), "client", "--network", self.network, "--data", folder.name,
             *(part for address in socks for part in ("--socks", address))],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        control = os.path.join(folder.name, "control.sock")
        wait_until(lambda: answers(control))
        wait_until(lambda: ask(control, "status")["ready"])
        ports = [("127.0.0.1", int(address.rpartition(":")[2])) for address in ask(control, "status")["socks"]]
        return ports, lambda: ask(control, "status")

    def test_l7_what_apps_say_however_it_is_cut(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            table = list(cases(self.peer.port, closed.getsockname()[1]))
            self.assertGreaterEqual(len(table), 60)
            for title, messages, wanted in table:
                if "IPv6" in title and wanted.endswith("05") and not has_ipv6():
                    continue
                for mode in ("polite", "bytes", "pipelined"):
                    with self.subTest(case=title, mode=mode):
                        self.assertEqual(converse(self.net.socks, messages, mode), wanted)

    def test_l6_what_a_listener_keeps_apart(self):
        ports, status = self.second_client(
            "127.0.0.1:0,destination-host", "127.0.0.1:0,destination-port", "127.0.0.1:0,client-address",
            "127.0.0.1:0,no-credentials", "127.0.0.1:0,no-listener", "127.0.0.1:0,no-listener")
        host, port, address, together, one, two = ports
        with Peer() as other:
            def sessions(proxy, target="127.0.0.1", to=None, source="127.0.0.1", **options):
                if source == "127.0.0.1":
                    socks_connect(proxy, target, to or self.peer.port, **options).close()
                else:
                    with socket.create_connection(proxy, 20, (source, 0)) as app:
                        app.sendall(b"\5\1\0\5\1\0\1\x7f\0\0\1" + (to or self.peer.port).to_bytes(2, "big"))
                        self.assertEqual(read_exactly(app, 12)[3], 0)
                return status()["sessions"]

            self.assertEqual(sessions(host), 1)
            self.assertEqual(sessions(host, to=other.port), 1)
            self.assertEqual(sessions(host, "localhost"), 2)
            self.assertEqual(sessions(port), 3)
            self.assertEqual(sessions(port, "localhost"), 3)
            self.assertEqual(sessions(port, to=other.port), 4)
            self.assertEqual(sessions(address), 5)
            self.assertEqual(sessions(address), 5)
            self.assertEqual(sessions(address, source="127.0.0.2"), 6)
            self.assertEqual(sessions(together, user="a"), 7)
            self.assertEqual(sessions(together, user="b"), 7)
            self.assertEqual(sessions(one), 8)
            self.assertEqual(sessions(two), 8)
            self.assertEqual(sessions(two, user="a"), 9)

    def test_unknown_flags_are_refused(self):
        with tempfile.TemporaryDirectory(prefix="tunic-test-") as folder:
            done = subprocess.run(
                [binary(), "client", "--network", self.network, "--data", folder, "--socks", "127.0.0.1:0,by-moon"],
                capture_output=True, text=True, timeout=60)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("by-moon", done.stderr)
            self.assertIn("destination-host", done.stderr)

    def test_l4_silent_apps_delay_nobody(self):
        """TUNIC_SILENT_APPS (300) apps that have sent half a message; with more of them, prints the waiting time of new apps."""
        ports, _ = self.second_client("127.0.0.1:0")

        def time_to_reply():
            began = time.monotonic()
            socks_connect(ports[0], "127.0.0.1", self.peer.port).close()
            return time.monotonic() - began

        alone = min(time_to_reply() for _ in range(5))
        silent = []
        self.addCleanup(lambda: [sock.close() for sock in silent])
        for number in range(SILENT):
            sock = socket.create_connection(ports[0], 20)
            sock.sendall((b"", b"\5", b"\5\1\0", b"\5\1\2\1\4us", b"\4\1", b"CONNECT a")[number % 6])
            silent.append(sock)
        times = sorted(time_to_reply() for _ in range(20))
        self.assertEqual(len(times), 20)
        if SILENT > 300:
            print(f"\n{SILENT} silent apps: {alone * 1000:.1f} ms alone, {times[10] * 1000:.1f} ms median, "
                  f"{times[-1] * 1000:.1f} ms at most")


if __name__ == "__main__":
    unittest.main()
