"""Nodes with several workers: each a thread with sockets of its own, at one port."""

import concurrent.futures
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time
import unittest

from devnet import Devnet, ask, binary, wait_until
from network import Network, free_port
from peers import Peer, SocksError, digest, download, read_exactly, socks_connect, upload
from test_failures import command_line
from udp import Association, UDPServer

MIB = 1 << 20


def threads(pid):
    """The names of a process's threads."""
    return [task.joinpath("comm").read_text().strip() for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]


def worker_threads(pid):
    return sorted(name for name in threads(pid) if name.startswith("tunic-worker-"))


class Workers(unittest.TestCase):
    """Each test has its own network, whose nodes have two workers."""

    def setUp(self):
        self.net = self.enterContext(Devnet(nodes=5, exits=2, arguments=["--workers", "2"]))
        self.peer = self.enterContext(Peer())

    def received(self):
        """The packets that worker 1 of each node has received."""
        return [node.status()["workers"]["packets_in"][1] for node in self.net.nodes if node.is_running]

    def test_pages_transfers_and_udp(self):
        for node in self.net.nodes:
            self.assertEqual(worker_threads(node.pid), ["tunic-worker-1"])
        before = self.received()
        # Pages: many apps, each with an identity of its own.
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            pages = pool.map(lambda n: download(self.net.socks, self.peer.port, 20_000 + n, user=f"app {n % 8}"), range(80))
            self.assertEqual(list(pages), [digest(20_000 + n) for n in range(80)])
        # Transfers in both directions, at the same time.
        size = 24 * MIB
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            down = [pool.submit(download, self.net.socks, self.peer.port, size) for _ in range(2)]
            up = [pool.submit(upload, self.net.socks, self.peer.port, size) for _ in range(2)]
            self.assertEqual([transfer.result() for transfer in down], [digest(size)] * 2)
            self.assertEqual([transfer.result() for transfer in up], [(size, digest(size))] * 2)
        with UDPServer() as echo, Association(self.net.socks) as association:
            for number in range(50):
                data = os.urandom(20 * number)
                self.assertEqual(association.exchange("127.0.0.1", echo.port, data)[2], data)
        # Worker 1 has carried its part. On a busy machine a worker may stand still for longer than its lanes have room.
        packets = 4 * size // 1_400 // 4
        wait_until(lambda: sum(self.received()) - sum(before) > packets)
        for node in self.net.nodes:
            status = node.status()
            self.assertEqual(sum(status["workers"]["packets_in"]), status["total"]["packets_in"])
            self.assertLessEqual(status["drops"].get("workerFull", 0), status["total"]["packets_in"] / 20)
            self.assertEqual(len(status["workers"]["load"]), 2)

    def test_figures(self):
        node = self.net.nodes[0]
        text = subprocess.run([binary(), "metrics", "--control", node.control], check=True, capture_output=True, text=True).stdout
        for name in ("tunic_worker_load_ratio", "tunic_worker_packets_total", "tunic_worker_handed_packets_total"):
            for worker in "01":
                self.assertRegex(text, re.compile(rf'^{name}{{role="relay",(?:.*,)?worker="{worker}"}} [0-9.]+$', re.M))
        text = subprocess.run([binary(), "status", "--control", node.control], check=True, capture_output=True, text=True).stdout
        self.assertRegex(text, r"(?m)^workers +\d+ %, \d+ % of a core, received \d+, \d+, sent \d+, \d+")

    def test_a_node_that_restarts_at_once_is_used_again(self):
        """The new process gets the port that both sockets of the old one had."""
        for node in self.net.nodes[-2:]:
            command = command_line(node.pid)
            self.assertIn("--workers", command)
            node.kill()
            wait_until(lambda: not node.is_running)
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            wait_until(lambda: worker_threads(process.pid) == ["tunic-worker-1"])

        # A stream that begins while the session ends may end with it; a later one does not.
        def works():
            try:
                return download(self.net.socks, self.peer.port, MIB) == digest(MIB)
            except (SocksError, EOFError, ConnectionError):
                return False

        wait_until(works)

    def test_a_transfer_outlives_the_drain_of_its_guard(self):
        with socks_connect(self.net.socks, "127.0.0.1", self.peer.port, early=b"get %d\n" % (1 << 40)) as stream:
            read_exactly(stream, 4 * MIB)
            hops = wait_until(lambda: next((path["hops"] for path in self.net.paths() if path["active"]), None))
            guard = self.net.node(hops[0])
            guard.kill(signal.SIGTERM)
            end = time.monotonic() + 60
            while guard.is_running and time.monotonic() < end:
                read_exactly(stream, MIB)
                time.sleep(0.05)
            self.assertFalse(guard.is_running)
            read_exactly(stream, MIB)


class Settings(unittest.TestCase):
    """Nodes that are processes of the test."""

    def test_reload_and_a_second_signal(self):
        with Network([[f"127.0.0.1:{free_port()}"] for _ in range(3)], exits=1) as net, Peer() as peer:
            rate = 2_000_000
            net.prefix = ["env", "TUNIC_RELAY_WORKERS=2", f"TUNIC_RELAY_RATE={rate}", "TUNIC_RELAY_BURST=100000"]
            host, _, port = net.start(hops=2).rpartition(":")
            # The rate is that of both workers together: 8 MB take about 4 s.
            began = time.monotonic()
            self.assertEqual(download((host, int(port)), peer.port, 8 * MIB), digest(8 * MIB))
            self.assertGreater(time.monotonic() - began, 8 * MIB / (rate * 1.05) - 0.5)
            for node in net.nodes:
                self.assertEqual(worker_threads(node.process.pid), ["tunic-worker-1"])
                self.assertIn("nothing has changed", ask(node.control, "reload")["done"])
            self.assertEqual(download((host, int(port)), peer.port, MIB), digest(MIB))
            # A port with two sockets is in use for another process.
            folder = net.folder / "other"
            folder.mkdir(0o700)
            shutil.copy(net.folder / "net" / "node-1" / "identity.key", folder)
            taken = subprocess.run(
                [binary(), "relay", "--network", net.file, "--data", folder, "--listen", net.addresses[0][0], "--workers", "2"],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
            self.assertNotEqual(taken.returncode, 0)
            self.assertIn("in use", taken.stderr)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
                host, _, port = net.addresses[0][0].rpartition(":")
                with self.assertRaises(OSError):
                    plain.bind((host, int(port)))
            # Two signals end it at once, with both threads.
            process = net.nodes[0].process
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGTERM)
            self.assertIn(process.wait(30), (0, 1))

    def test_a_number_beyond_the_most_is_named(self):
        for number in ("0", "17"):
            ended = subprocess.run(
                [binary(), "relay", "--workers", number], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
            self.assertNotEqual(ended.returncode, 0)
            self.assertIn(f"{number} is out of range; use 1 to 16", ended.stderr)
        ended = subprocess.run(
            [binary(), "devnet", "--workers", "17"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertNotEqual(ended.returncode, 0)
        self.assertIn("--workers 17: use 1 to 16", ended.stderr)


if __name__ == "__main__":
    unittest.main()
