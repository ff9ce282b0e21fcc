"""A node beside an oxend daemon: key, registry, pings and names come from it, and its failures change nothing.

The daemon is the stand-in of oxend.py, whose answers are oxend's by its own definitions.
"""

import json
import subprocess
import time
import unittest

from devnet import ask, binary, wait_until
from network import Network, Process, free_port
from oxend import Oxend, identity_seed, public_key


def tunic(*arguments, timeout=60):
    return subprocess.run([binary(), *map(str, arguments)], capture_output=True, text=True, timeout=timeout)


class Calls(unittest.TestCase):
    """The calls that wait for their answer."""

    def test_nodes_are_listed_as_the_daemon_has_them(self):
        with Oxend([bytes([number]) * 32 for number in range(1, 6)], block_seconds=0) as daemon:
            daemon.states[daemon.keys[1]] = "decommissioned"
            daemon.states[daemon.keys[2]] = "open"
            report = json.loads(tunic("oxend", "nodes", "--oxend", daemon.url, "--json").stdout)
        self.assertEqual(report["height"], 1_000)
        self.assertEqual(sorted(node["state"] for node in report["nodes"]),
                         ["active", "active", "active", "decommissioned", "open"])
        self.assertEqual({node["stake"] for node in report["nodes"]}, {25_000_000_000_000})

    def test_a_name_opens_only_with_itself(self):
        with Oxend([b"\1" * 32]) as daemon:
            # The example in oxend's documentation.
            daemon.names["21eca71448f2c6281dd0b726a3915661a1a9fee557b1ae60acaf099a5d1a8b7a"] = (
                "b52c088ae51171a9e2e44cc98c10006547e2981d4cbe196525c948fa2fa48a11e8712eccd0ba20e4b93fb3989361df8a",
                "6e3e80c7927108612475a0eeddf472af6177c9776d6943ed")
            found = tunic("oxend", "resolve", "Blocks.loki", "--oxend", daemon.url)
            self.assertEqual(found.stdout, "kcpyawm9se7trdbzncimdi5t7st4p5mh9i1mg7gkpuubi4k4ku1y.loki\n")
            missing = tunic("oxend", "resolve", "other.loki", "--oxend", daemon.url)
        self.assertEqual((missing.returncode, missing.stdout), (66, ""))

    def test_trouble_is_one_line(self):
        with Oxend([b"\1" * 32]) as daemon:
            for behaviour in ("silent", "garbage", "error"):
                daemon.behave = behaviour
                result = tunic("oxend", "nodes", "--oxend", daemon.url)
                self.assertEqual(result.returncode, 69, behaviour)
                self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
            port = daemon.server.server_address[1]
        result = tunic("oxend", "nodes", "--oxend", f"http://127.0.0.1:{port}")
        self.assertEqual(result.returncode, 69)
        # A key is not sent in the clear, and no request is made.
        relay = tunic("relay", "--network", "/nonexistent", "--oxend", "http://192.0.2.1:22023", "--listen",
                      "127.0.0.1:0", "--data", "/nonexistent")
        self.assertNotEqual(relay.returncode, 0)


class Relays(unittest.TestCase):
    """Relays beside daemons of one chain. All times of the calls are divided by HURRY."""

    HURRY = 720

    def make_daemons(self, network, count, others=()):
        """A daemon for each node, on one chain that the test extends; `others` are keys of nodes that do not run."""
        self.network, self.daemons = network, []
        seeds = [identity_seed(network.folder / "net" / f"node-{number + 1}") for number in range(count)]
        for number in range(count):
            order = [seeds[number], *(seed for seed in [*seeds, *others] if seed != seeds[number])]
            daemon = Oxend(order, block_seconds=0, chain=self.daemons[0] if self.daemons else None,
                           hurry=self.HURRY)
            self.enterContext(daemon)
            self.daemons.append(daemon)
            (network.folder / "net" / f"node-{number + 1}" / "identity.key").unlink()

    def start(self, number):
        """The relay beside the daemon with that number."""
        folder = self.network.folder / "net" / f"node-{number + 1}"
        process = Process([], [
            "relay", "--network", self.network.file, "--data", folder, "--listen", self.network.addresses[number][0],
            "--oxend", self.daemons[number].url], folder, {"TUNIC_OXEND_HURRY": str(self.HURRY)})
        self.network.nodes.append(process)
        return process

    def enterContext(self, context):  # unittest has it from Python 3.11 on
        self.addCleanup(context.__exit__, None, None, None)
        return context.__enter__()


class Judged(Relays):
    """Daemons that vote by what the relays beside them report."""

    HURRY = 60

    def test_w1_relays_that_do_not_serve_are_voted_against(self):
        """One relay dies, one is never started. Every daemon votes against both, and against no other."""
        with Network([[f"127.0.0.1:{free_port()}"] for _ in range(6)], exits=0) as network:
            settings = json.loads(network.file.read_text())
            network.file.write_text(json.dumps({**settings, "epochSeconds": 60}))
            self.make_daemons(network, 6)
            nodes = [self.start(number) for number in range(5)]
            wait_until(lambda: all(node.status()["descriptors"] == 5 for node in nodes))
            nodes[4].process.kill()
            nodes[4].process.wait()
            judges, dead = self.daemons[:4], {daemon.keys[0] for daemon in self.daemons[4:]}

            def agree():
                found = [daemon.unreachable() for daemon in judges]
                for keys in found:
                    self.assertLessEqual(keys, dead)
                return all(keys == dead for keys in found)

            # Two epochs until the missing descriptor counts, and the daemons' 65 minutes.
            wait_until(agree, 400, interval=0.5)
            # A quorum may be drawn at any time from then on.
            samples = []
            for _ in range(40):
                time.sleep(0.5)
                samples.append(agree())
            self.assertGreater(samples.count(True), 30, samples)


class Beside(Relays):
    def test_a_node_lives_by_its_daemon_and_outlives_its_trouble(self):
        with Network([[f"127.0.0.1:{free_port()}"] for _ in range(4)], exits=0) as network:
            # With a short epoch, each block begins a new one.
            settings = json.loads(network.file.read_text())
            network.file.write_text(json.dumps({**settings, "epochSeconds": 60}))
            idle = b"\7" * 32
            self.make_daemons(network, 4, [idle])
            node, daemon = self.start(0), self.daemons[0]

            def oxend():
                return node.status().get("oxend") or {"height": 0}

            # While no other node answers, the node cannot serve. It tells its daemon, but not too early.
            wait_until(lambda: node.status() and len(daemon.pings) >= 3)
            self.assertEqual(daemon.pings[0]["pubkey_ed25519"], daemon.keys[0])
            self.assertNotIn("error", daemon.pings[0])
            self.assertNotIn("error", daemon.pings[1])
            wait_until(lambda: daemon.pings[-1].get("error"))
            first = next(place for place, ping in enumerate(daemon.pings) if "error" in ping)
            self.assertGreaterEqual(daemon.ping_times[first] - daemon.ping_times[0], 600 / self.HURRY)
            self.assertIn("No other node", daemon.pings[first]["error"])
            self.assertFalse(node.status()["ready"])
            for number in range(1, 4):
                self.start(number)
            # The node serves, and the next pings have no error.
            wait_until(lambda: node.status()["descriptors"] == 4 and node.status()["ready"])
            wait_until(lambda: "error" not in daemon.pings[-1])
            self.assertEqual((oxend()["active"], oxend()["standing"]), (5, "active"))

            self.a_snapshot_is_signed(daemon, idle)
            self.results_are_reported()
            self.trouble_is_said_and_changes_nothing(node, daemon, oxend)
            self.an_hour_of_silence_changes_nothing(node, daemon, oxend)
            # The key is neither on disk nor in the log.
            folder = network.folder / "net" / "node-1"
            self.assertFalse((folder / "identity.key").exists())
            self.assertNotIn(daemon.seeds[0].hex(), node.log.read_text())

    def a_snapshot_is_signed(self, daemon, idle):
        """All nodes make and sign the same snapshot of the chain: a decommissioned node is no longer a hop."""
        daemon.states[public_key(idle).hex()] = "decommissioned"
        height = daemon.height + 1
        nodes = self.network.nodes
        def trusted():
            return min(node.status()["snapshot"]["height"] for node in nodes)

        # A node signs once at each height. If some signed before they had the previous snapshot, the next height
        # repairs it.
        for _ in range(20):
            daemon.mine()
            # Every node has asked its daemon while the block is the newest.
            wait_until(lambda: all(node.status()["oxend"]["height"] == daemon.height for node in nodes))
            try:
                wait_until(lambda: trusted() >= max(height, daemon.height - 2), 3, interval=0.1)
            except TimeoutError:
                continue
            break
        self.assertGreaterEqual(trusted(), height)
        listed = {node["id"]: node["state"] for node in ask(nodes[2].control, "nodes")["nodes"]}
        self.assertEqual(sorted(listed.values()), ["active"] * 4 + ["decommissioned"])
        # The nodes were all registered at one height: the block after it places them.
        self.assertEqual(set(daemon.header_heights), {8})
        # If a node has signed another snapshot, the next block brings all nodes together.
        for _ in range(6):
            try:
                wait_until(lambda: len({node.status()["snapshot"]["digest"] for node in nodes}) == 1, 10, interval=0.2)
                return
            except TimeoutError:
                daemon.mine()
        self.fail(f"the nodes have different snapshots: {[node.status()['snapshot'] for node in nodes]}")

    def results_are_reported(self):
        """A node's test results of others go to its daemon, with the keys that the daemon knows."""
        others = set(self.daemons[1].keys) - {self.daemons[1].keys[0], public_key(b"\7" * 32).hex()}
        wait_until(lambda: others <= {key for key, passed in self.daemons[1].reports if passed})
        self.assertTrue(all(passed for key, passed in self.daemons[1].reports if key in others))
        # The last node dies. The other nodes report this too, while the rest of the test runs.
        self.network.nodes[3].process.kill()
        self.network.nodes[3].process.wait()

    def trouble_is_said_and_changes_nothing(self, node, daemon, oxend):
        """Whatever a daemon answers, the last good state remains, and the problem is reported."""
        height = node.status()["snapshot"]["height"]
        for behaviour, words in (
            ("garbage", "is invalid"), ("error", "refuses the call"), ("empty", "no active node"),
            ("back", "went back"), ("syncing", "still syncing"), ("stall", "does not answer"),
        ):
            daemon.behave = behaviour
            # There is a new block, so the daemon cannot answer "unchanged".
            daemon.mine()
            wait_until(lambda: words in (oxend().get("trouble") or ""), interval=0.1)
            status = node.status()
            self.assertTrue(status["ready"], behaviour)
            self.assertNotIn("no good answer", status.get("problem") or "")
            self.assertEqual(status["oxend"]["active"], 4)
            # The other nodes go on with their daemons, and this node follows them.
            self.assertGreaterEqual(status["snapshot"]["height"], height)
            self.assertIn(words, node.log.read_text())
            daemon.behave = "well"
            wait_until(lambda: oxend().get("trouble") is None, interval=0.1)

    def an_hour_of_silence_changes_nothing(self, node, daemon, oxend):
        """A daemon that closes every connection is reported as the problem after an hour, and not before."""
        before = node.status()
        daemon.behave = "silent"
        began = time.monotonic()

        def problem():
            return node.status().get("problem") or ""

        wait_until(lambda: "no good answer" in problem(), 60, interval=0.1)
        self.assertGreaterEqual(time.monotonic() - began, 3_600 / self.HURRY - 1)
        status = node.status()
        self.assertTrue(status["ready"])
        # The other nodes still have their daemons, and may sign one more block.
        self.assertGreaterEqual(status["snapshot"]["height"], before["snapshot"]["height"])
        self.assertEqual(status["oxend"]["active"], before["oxend"]["active"])
        daemon.behave = "well"
        wait_until(lambda: "no good answer" not in problem(), interval=0.1)
        # In the meantime the other nodes have found the dead node and told their daemons.
        dead = self.daemons[3].keys[0]
        wait_until(lambda: (dead, False) in self.daemons[1].reports, 60, interval=0.2)
        self.assertTrue(all(passed for key, passed in self.daemons[1].reports if key == daemon.keys[0]))


if __name__ == "__main__":
    unittest.main()
