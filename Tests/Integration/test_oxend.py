"""A node beside an oxend daemon: key, registry, pings and names come from it, and its trouble changes nothing.

The daemon is the stand-in of oxend.py, whose answers are oxend's by its own definitions.
"""

import json
import subprocess
import unittest

from devnet import binary, wait_until
from network import Network, Process, free_port
from oxend import Oxend, identity_seed


def tunic(*arguments, timeout=30):
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
            # The example of oxend's documentation.
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
        # A key does not travel in the clear, and nothing is asked.
        relay = tunic("relay", "--network", "/nonexistent", "--oxend", "http://192.0.2.1:22023", "--listen",
                      "127.0.0.1:0", "--data", "/nonexistent")
        self.assertNotEqual(relay.returncode, 0)


class Beside(unittest.TestCase):
    """Relays beside daemons that follow one chain."""

    def start(self, network, count):
        """A daemon and a relay for each node, on one chain that the test makes grow."""
        self.daemons = []
        seeds = [identity_seed(network.folder / "net" / f"node-{number + 1}") for number in range(count)]
        for number in range(count):
            order = [seeds[number], *(seed for seed in seeds if seed != seeds[number])]
            daemon = Oxend(order, block_seconds=0, chain=self.daemons[0] if self.daemons else None)
            self.enterContext(daemon)
            self.daemons.append(daemon)
        for number, daemon in enumerate(self.daemons):
            folder = network.folder / "net" / f"node-{number + 1}"
            (folder / "identity.key").unlink()
            network.nodes.append(Process([], [
                "relay", "--network", network.file, "--data", folder, "--listen", network.addresses[number][0],
                "--oxend", daemon.url], folder))

    def enterContext(self, context):  # unittest has it from Python 3.11 on
        self.addCleanup(context.__exit__, None, None, None)
        return context.__enter__()

    def test_a_node_lives_by_its_daemon_and_outlives_its_trouble(self):
        with Network([[f"127.0.0.1:{free_port()}"] for _ in range(3)], exits=0) as network:
            # A short epoch, so that the daemon is asked every second.
            settings = json.loads(network.file.read_text())
            network.file.write_text(json.dumps({**settings, "epochSeconds": 60}))
            self.start(network, 3)
            node, daemon = network.nodes[0], self.daemons[0]

            def oxend():
                return node.status().get("oxend") or {"height": 0}

            wait_until(lambda: oxend()["height"] == 1_000, 20)
            wait_until(lambda: oxend().get("takes_pings"), 20)
            self.assertEqual(oxend()["active"], 3)
            self.assertEqual(oxend()["standing"], "active")
            self.assertEqual(daemon.pings[0]["pubkey_ed25519"], daemon.keys[0])
            self.assertNotIn("error", daemon.pings[0])
            wait_until(lambda: node.status()["descriptors"] == 3, 20)
            self.assertTrue(node.status()["ready"])
            # What is wrong is said, and nothing else changes.
            for behaviour, words in (
                ("garbage", "makes no sense"), ("error", "refuses the call"), ("empty", "no active node"),
                ("back", "went back"), ("syncing", "still syncing"), ("silent", "does not answer"),
            ):
                daemon.behave = behaviour
                daemon.mine()
                wait_until(lambda: words in (oxend().get("trouble") or ""), 40, interval=0.2)
                status = node.status()
                self.assertTrue(status["ready"], behaviour)
                self.assertIsNone(status.get("problem"))
                self.assertEqual(status["descriptors"], 3)
                self.assertEqual(status["oxend"]["active"], 3)
                self.assertIn(words, node.log.read_text())
            daemon.behave = "well"
            wait_until(lambda: oxend().get("trouble") is None and oxend()["height"] == daemon.height, 40, interval=0.2)
            # Nothing of the key is on disk or in the log.
            folder = network.folder / "net" / "node-1"
            self.assertFalse((folder / "identity.key").exists())
            self.assertNotIn(daemon.seeds[0].hex(), node.log.read_text())


if __name__ == "__main__":
    unittest.main()
