"""Dishonest clients and nodes against the binary.

They need the modules of Tests/Vectors, PyNaCl and cryptography, and are skipped without them.
"""

import contextlib
import importlib.util
import itertools
import json
import pathlib
import secrets
import struct
import subprocess
import tempfile
import threading
import time
import unittest

from devnet import Devnet, ask, binary, wait_until

for module in ("nacl", "cryptography.hazmat.primitives.asymmetric.mlkem"):
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise unittest.SkipTest(f"this Python has no {module}")

import hostile
from frames import stream
from hostile import ANNOUNCE, GET_BLOCKS, GET_DESCRIPTOR, SUBMIT, SUSPECT, Link, Path, Remote, model

SESH = 10**9
DECOMMISSION, DEREGISTER = 1, 3
PING, ACK = b"\x01", 0x02
# Bytes behind a hole, an empty end far behind them, and bytes that make the stream's memory grow.
HOLES = [stream(0, b"abc", 100), stream(0, b"", 200_000, fin=True), stream(0, b"abc", 3_000)]


def resident(pid):
    """The memory of a process, in bytes."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(text.partition("VmRSS:")[2].split()[0])


class Flood:
    """Sends messages over links on its own thread while the context is open.

    `messages()` returns the messages of a turn, the same for all links; the next turn comes `pause` seconds later.
    """

    def __init__(self, links, messages, pause=0.02):
        self.links, self.messages, self.pause = links, messages, pause
        self.sent, self.ended = 0, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def _run(self):
        while not self.ended.wait(self.pause):
            messages = self.messages()
            for link in self.links:
                link.receive()
                self.sent += link.ask(*messages)


NODES, EXITS, AUTHORITIES = 12, 2, 3
# The node whose key the tests use after its process has ended, and the node that the others must find dead.
HOSTILE, DEAD = NODES - 1, NODES - 3
EXIT = NODES - 2
net = folder = network = None


def setUpModule():
    """A network whose keys are on disk, so that the tests can act as its nodes."""
    global net, folder, network
    stack = contextlib.ExitStack()
    unittest.addModuleCleanup(stack.close)
    folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tunic-test-"))) / "net"
    net = stack.enter_context(Devnet(
        nodes=NODES, exits=EXITS, arguments=("--dir", str(folder), "--epoch", "2", "--credit", "120")))
    network = hostile.Network(folder / "network.json")


def identity(number):
    return hostile.identity(folder / f"node-{number + 1}")


def remote(number):
    node = net.nodes[number]
    return Remote(node.id, node.address)


def height(number):
    return ask(net.nodes[number].control, "nodes")["height"]


class HostileTest(unittest.TestCase):
    def link(self, number, **options):
        return self.enterContext(Link(network, remote(number), **options))

    def hostile(self, *numbers):
        """Links to nodes with the hostile node's key."""
        node = net.nodes[HOSTILE]
        if node.is_running:
            node.kill()
            wait_until(lambda: not node.is_running)
        own = identity(HOSTILE)
        return [self.link(number, own=own, source="127.0.0.5") for number in numbers]

    def assertServes(self, number, within=60):
        """A new client's link to the node comes up, and a message is answered."""
        self.assertTrue(net.nodes[number].is_running, f"node {number + 1} has ended")
        link = self.link(number, source="127.0.0.9", timeout=within)
        self.assertAnswers(link, within)

    def assertAnswers(self, link, within=60):
        """The node at the other end of a link sends its descriptor."""
        self.assertEqual(link.request(GET_DESCRIPTOR, link.node.id, within)[8:40], link.node.id)

    def assertGrows(self, blocks, within=60):
        """The chain of each authority grows by `blocks` blocks."""
        before = [height(number) for number in range(AUTHORITIES)]
        for number, low in enumerate(before):
            wait_until(lambda number=number, low=low: height(number) >= low + blocks, within, interval=0.1)


class Clients(HostileTest):
    """Attacks that need only a link."""

    def test_s01_an_empty_fin_beyond_a_hole_on_the_control_connection(self):
        link = self.link(3, source="127.0.0.2")
        for frame in HOLES:
            link.send(frame)
        # The link still works.
        link.next_stream = 2
        self.assertAnswers(link)
        self.assertServes(3)

    def test_s01_an_empty_fin_beyond_a_hole_at_an_exit(self):
        link = self.link(3, source="127.0.0.2")
        path = Path(link, [remote(number) for number in (3, 4, EXIT)])
        path.send(PING)
        path.wait_for(ACK)
        for frame in HOLES:
            path.send(frame)
        # The session still works: its highest packet is acknowledged.
        while path.wait_for(ACK)[1] < 3:
            pass
        self.assertServes(EXIT)

    def test_s08_clocks_of_nodes_that_are_centuries_ahead(self):
        # More liars than honest nodes among the last seven.
        for own, timestamp in ((5, 1 << 63), *((own, (1 << 64) - 1) for own in range(4))):
            with contextlib.suppress(TimeoutError):
                self.link(4, own=identity(own), timestamp=timestamp, source="127.0.0.3", timeout=0.4)
        # Clocks are compared each second.
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            self.assertTrue(net.nodes[4].is_running, "the node has ended")
            time.sleep(0.1)
        self.assertServes(4)

    def test_s12_hundreds_of_links_of_one_address(self):
        attacked = range(NODES // 2)
        links, end = [], time.monotonic() + 60
        while len(links) < 250 and time.monotonic() < end:
            for number in attacked:
                with contextlib.suppress(TimeoutError):
                    links.append(self.link(number, source="127.0.0.4", timeout=0.3))
        self.assertGreater(len(links), 200)
        for number in attacked:
            self.assertServes(number)
        data = folder / "newcomer"
        data.mkdir(0o700)
        client = subprocess.Popen(
            [binary(), "client", "--network", folder / "network.json", "--data", data, "--socks", "127.0.0.1:0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        wait_until(lambda: self.is_ready(data / "control.sock"))

    @staticmethod
    def is_ready(control):
        try:
            return ask(str(control), "status")["ready"]
        except OSError:
            return False


class Ledger(HostileTest):
    """Attacks on the chain."""

    def test_s03_announcements_of_blocks_that_nobody_has(self):
        message = bytes([ANNOUNCE]) + struct.pack("<Q", 1 << 63)
        with Flood(self.hostile(*range(NODES - 1)), lambda: [message] * 4) as flood:
            wait_until(lambda: flood.sent >= 500)
            self.assertGrows(4)

    def test_s13_blocks_for_many_at_once(self):
        self.fill(48 << 10)
        authority = net.nodes[0]
        links = [self.link(0, source=f"127.0.1.{number % 32 + 1}") for number in range(64)]
        before = highest = resident(authority.pid)
        low = height(0)
        for link in links:
            link.ask(*[bytes([GET_BLOCKS]) + bytes(8)] * 64)
        began = time.monotonic()
        while time.monotonic() < began + 2 or height(0) < low + 3:
            highest = max(highest, resident(authority.pid))
            self.assertLess(time.monotonic(), began + 60, "the chain does not grow")
            time.sleep(0.01)
        print(f"memory grew by {(highest - before) >> 20} MiB", flush=True)
        self.assertLess(highest - before, 64 << 20)

    def fill(self, size):
        """Extends the chain until an answer has `size` bytes, by transfers submitted at all authorities."""
        bank = Account(folder / "wallets" / "bank.key")
        links = self.hostile(*range(AUTHORITIES))
        accounts = [[Account() for _ in range(4)] for _ in links]
        bank.nonce = json.loads(subprocess.run(
            [binary(), "stake", "show", "--json", "--wallet", folder / "wallets" / "bank.key",
             "--control", net.nodes[0].control], check=True, capture_output=True).stdout)["nonce"]
        for account in itertools.chain.from_iterable(accounts):
            wait_until(lambda account=account: bank.hands_in(links[0], account, 100 * SESH))
        asker = self.link(0, source="127.0.0.6")
        done = threading.Event()

        def spend(link, accounts):
            while not done.is_set():
                if not any([account.hands_in(link, bank, 1) for account in accounts]):
                    time.sleep(0.05)

        threads = [threading.Thread(target=spend, args=pair, daemon=True) for pair in zip(links, accounts)]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: len(asker.request(GET_BLOCKS, bytes(8))) >= size, interval=0.25)
        finally:
            done.set()
            for thread in threads:
                thread.join()


class Account:
    """An account of the ledger: a new one, or a wallet's."""

    def __init__(self, file=None):
        node = hostile.key(file) if file else model.Node(secrets.token_bytes(32))
        self.id, self.signing, self.nonce = node.id, node.signing, 0

    def hands_in(self, link, other, amount):
        """Submits its next transfer (docs/registry.md, "Operations"); returns whether it now waits for a block."""
        body = other.id + struct.pack("<Q", amount)
        operation = b"\x01\x0a" + network.id + self.id + struct.pack("<QQ", self.nonce, 2**64 - 1) + body
        signed = model.nacl.crypto_sign(b"tunic registry operation\0" + operation, self.signing)
        try:
            waits = link.request(SUBMIT, operation + signed[:64])[0] == 1
        except hostile.Refused:
            return False
        self.nonce += waits
        return waits


class Watching(HostileTest):
    """Attacks on judges; they come last, when there are many heights at which nodes can be judged."""

    def test_s09_suspicions_of_all_nodes_at_all_heights(self):
        judges = [number for number in range(NODES) if number not in (HOSTILE, DEAD)]
        accused = [hostile.node_id(net.nodes[number].id) for number in judges]

        # At this height there are more ballots than a node keeps of others.
        heights = 512 // (2 * (len(judges) - 1)) + 1
        wait_until(lambda: height(0) > heights, interval=0.2)
        links = self.hostile(*judges)

        def ballots():
            while True:
                top = height(0)
                for low in range(top, max(0, top - 60), -1):
                    for verdict, id in itertools.product((DECOMMISSION, DEREGISTER), accused):
                        yield bytes([SUSPECT, verdict]) + id + struct.pack("<Q", low)

        endless = ballots()
        with Flood(links, lambda: list(itertools.islice(endless, 25))) as flood:
            wait_until(lambda: flood.sent >= 1000 * len(links))
            dead = net.nodes[DEAD]
            dead.kill()
            began = time.monotonic()
            wait_until(lambda: self.state(DEAD) == "decommissioned", interval=0.1)
            print(f"decommissioned after {time.monotonic() - began:.1f} s, {flood.sent} sent", flush=True)
        for number in judges:
            self.assertEqual(self.state(number), "active")

    @staticmethod
    def state(number):
        nodes = ask(net.nodes[0].control, "nodes")["nodes"]
        return next((node["state"] for node in nodes if node["id"] == net.nodes[number].id), None)


if __name__ == "__main__":
    unittest.main()
