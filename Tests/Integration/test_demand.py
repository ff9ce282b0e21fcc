"""Many apps and identities at once."""

import collections
import socket
import threading
import time
import unittest

from devnet import allow_descriptors, wait_until
from nameserver import Answer, NameServer, query
from network import Network, free_port
from peers import Peer, SocksError, read_exactly, socks_connect


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def at_once(count, work):
    """The result of `work(number)` for each number, all at once, or its error; and its duration."""
    results, times = [None] * count, [0.0] * count
    start = threading.Barrier(count + 1)

    def one(number):
        start.wait()
        begin = time.monotonic()
        try:
            results[number] = work(number)
        except (OSError, SocksError, EOFError) as error:
            results[number] = error
        times[number] = time.monotonic() - begin

    threads = [threading.Thread(target=one, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    start.wait()
    for thread in threads:
        thread.join(120)
    return results, times


class Demand(unittest.TestCase):
    """One network for all, with the default limits."""

    @classmethod
    def setUpClass(cls):
        allow_descriptors(cls, 8000)
        cls.peer = cls.enterClassContext(Peer())
        cls.server = cls.enterClassContext(NameServer({(f"n{number}.example.org", "A"): [bytes([127, 0, 0, 1])]
                                                       for number in range(500)}))
        cls.net = cls.enterClassContext(Network(
            [[f"127.0.0.1:{free_port()}"] for _ in range(6)], exits=2,
            exit_options=["--exit-resolver", f"127.0.0.1:{cls.server.port}"], client_options=["--dns", "127.0.0.1:0"]))
        host, _, port = cls.net.start().rpartition(":")
        cls.proxy = (host, int(port))
        cls.sockets = []
        cls.addClassCleanup(lambda: [sock.close() for sock in cls.sockets])

    def fetch(self, user=None):
        sock = socks_connect(self.proxy, "127.0.0.1", self.peer.port, timeout=100, user=user, early=b"get 8\n")
        self.sockets.append(sock)
        return len(read_exactly(sock, 8))

    def refusals(self):
        total = collections.Counter()
        for node in self.net.nodes:
            total.update(node.status()["refusals"])
        return dict(total)

    def guards(self):
        return {path["hops"][0] for path in self.net.client.paths()}

    def check(self, results, times):
        failed = collections.Counter(repr(result) for result in results if result != 8)
        self.assertEqual(failed, {})
        self.assertEqual(self.refusals(), {})
        self.assertNotIn("a guard fails many", self.net.client.log.read_text())
        print(f"\n{self._testMethodName}: p50 {percentile(times, 0.5):.2f} s, p99 {percentile(times, 0.99):.2f} s")

    def test_r2_400_connections_at_once(self):
        self.check(*at_once(400, lambda _: self.fetch()))

    def test_r2_more_connections_than_an_exit_takes_at_once_wait(self):
        self.check(*at_once(1_300, lambda _: self.fetch("burst")))

    def test_r3_150_identities_at_once(self):
        guards = self.guards()
        self.check(*at_once(150, lambda number: self.fetch(f"identity-{number}")))
        self.assertEqual(self.guards() - guards, set())

    def test_r3_256_identities_that_have_something_open(self):
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()
        wait_until(lambda: self.net.client.status()["streams"] == 0)
        guards = self.guards()
        for _ in range(2):
            # Nearly as many identities as the limit allows. Identities of other tests have nothing open and give way.
            self.check(*at_once(250, lambda number: self.fetch(f"one-of-many-{number}")))
        self.assertEqual(self.guards() - guards, set())

    def test_r2_500_look_ups_at_once(self):
        status = self.net.client.status()
        host, _, port = status["dns"][0].rpartition(":")

        def look(number):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(60)
                sock.sendto(query(f"n{number}.example.org", "A"), (host, int(port)))
                return 8 if Answer(sock.recv(4096)).data == [bytes([127, 0, 0, 1])] else "another answer"

        self.check(*at_once(500, look))


if __name__ == "__main__":
    unittest.main()
