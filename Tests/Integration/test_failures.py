"""A network on loopback of which the test kills a part."""

import os
import subprocess
import threading
import time
import unittest

from devnet import Devnet, allow_descriptors, resident, wait_until
from peers import Peer, SocksError, digest, download, read_exactly, socks_connect

MIB = 1 << 20
GIB = 1 << 30


def command_line(pid):
    """The command line of a process, without the option that ties it to its parent."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        words = [word.decode() for word in file.read().split(b"\0")[:-1]]
    while "--parent-fd" in words:
        place = words.index("--parent-fd")
        del words[place:place + 2]
    return words


class Failures(unittest.TestCase):
    """Each test has its own network and kills a part of it."""

    def setUp(self):
        self.net = self.enterContext(Devnet())
        self.peer = self.enterContext(Peer())

    def active(self):
        """The hops of the path that carries traffic, once there is one."""
        found = []

        def look():
            found[:] = [path["hops"] for path in self.net.paths() if path["active"] and path["bytes_in"] > 200_000]
            return bool(found)

        wait_until(look)
        return found[0]

    def kill(self, node_id):
        self.net.node(node_id).kill()

    def download_while_a_hop_dies(self, position):
        stall, last, total = [0.0], [None], [0]

        def progress(count):
            now = time.monotonic()
            if last[0] is not None:
                stall[0] = max(stall[0], now - last[0])
            last[0] = now
            total[0] = count

        result = []
        worker = threading.Thread(target=lambda: result.append(download(self.net.socks, self.peer.port, GIB, progress)))
        worker.start()
        wait_until(lambda: total[0] > 100 * MIB, 60)
        self.kill(self.active()[position])
        worker.join(180)
        self.assertEqual(result, [digest(GIB)])
        self.assertLess(stall[0], 3.0)

    def test_a_download_outlives_its_guard(self):
        self.download_while_a_hop_dies(0)

    def test_a_download_outlives_its_middle(self):
        self.download_while_a_hop_dies(1)

    def test_a_stream_outlives_both_guards(self):
        with socks_connect(self.net.socks, "127.0.0.1", self.peer.port, early=b"echo\n") as sock:
            for _ in range(2):
                path = wait_until(lambda: next((path["hops"] for path in self.net.paths() if path["active"]), None))
                self.kill(path[0])
                end = time.monotonic() + 2
                while time.monotonic() < end:
                    sock.sendall(b"still")
                    self.assertEqual(read_exactly(sock, 5), b"still")

    def test_a_dead_exit_ends_its_streams_and_the_next_request_works(self):
        with socks_connect(self.net.socks, "127.0.0.1", self.peer.port, early=b"get %d\n" % (8 * GIB)) as sock:
            read_exactly(sock, 4 * MIB)
            self.kill(self.active()[2])
            began = time.monotonic()
            with self.assertRaises((ConnectionError, EOFError)):
                while True:
                    read_exactly(sock, MIB)
            self.assertLess(time.monotonic() - began, 10)

        # A stream that begins while the session ends may end with it; a later one does not.
        def works():
            try:
                return download(self.net.socks, self.peer.port, MIB) == digest(MIB)
            except SocksError:
                return False

        wait_until(works, 10)

    def test_an_exit_that_restarts_at_once_is_used_again(self):
        with socks_connect(self.net.socks, "127.0.0.1", self.peer.port, early=b"echo\n") as sock:
            sock.sendall(b"still")
            self.assertEqual(read_exactly(sock, 5), b"still")
            node = self.net.node(next(path["hops"][2] for path in self.net.paths() if path["active"]))
            command = command_line(node.pid)
            node.kill()
            wait_until(lambda: not node.is_running)
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            # The stream is lost, and the app gets an error in time.
            sock.settimeout(60)
            with self.assertRaises((ConnectionError, EOFError)):
                while True:
                    sock.sendall(b"still")
                    read_exactly(sock, 5)
                    time.sleep(0.1)

        # A stream that begins while the session ends may end with it; a later one does not.
        def works():
            try:
                return download(self.net.socks, self.peer.port, MIB) == digest(MIB)
            except SocksError:
                return False

        wait_until(works)

    def test_l11_without_nodes_there_is_an_error_and_never_a_direct_connection(self):
        self.assertEqual(download(self.net.socks, self.peer.port, MIB), digest(MIB))
        commands = [command_line(node.pid) for node in self.net.nodes]
        for node in self.net.nodes:
            node.kill()
        before = self.peer.connections
        began = time.monotonic()
        with self.assertRaises((SocksError, EOFError, ConnectionError)):
            with socks_connect(self.net.socks, "127.0.0.1", self.peer.port, early=b"get 10\n") as sock:
                read_exactly(sock, 10)
        self.assertLess(time.monotonic() - began, 60)
        self.assertEqual(self.peer.connections, before)
        for command in commands:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)

        def works():
            try:
                return download(self.net.socks, self.peer.port, 1000) == digest(1000)
            except (SocksError, OSError, EOFError):
                return False

        wait_until(works)

    def test_2000_idle_streams_stay_alive(self):
        socks = []
        # This process also holds the server's ends of the streams.
        allow_descriptors(self, 4500)
        try:
            for _ in range(2000):
                socks.append(socks_connect(self.net.socks, "127.0.0.1", self.peer.port, early=b"echo\n"))
            time.sleep(float(os.environ.get("TUNIC_IDLE_SECONDS", "60")))
            for index, sock in enumerate(socks):
                sock.sendall(b"%08d" % index)
            for index, sock in enumerate(socks):
                self.assertEqual(read_exactly(sock, 8), b"%08d" % index)
            exits = {path["hops"][-1] for path in self.net.paths() if path["active"]}
            pids = [self.net.client_pid] + [node.pid for node in self.net.nodes if node.id in exits]
            self.assertGreaterEqual(len(pids), 2)
            for pid in pids:
                self.assertLess(resident(pid), 150 * MIB)
        finally:
            for sock in socks:
                sock.close()


if __name__ == "__main__":
    unittest.main()
