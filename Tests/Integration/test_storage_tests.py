"""Nodes that test one another's storage on a running network.

The rows of one node's file are deleted again and again while it runs, as a bad disk would lose them. It answers all the same, so only
the tests of its storage can find it.
"""

import contextlib
import json
import pathlib
import sqlite3
import subprocess
import tempfile
import threading
import time
import unittest

from devnet import Devnet, ask, binary, wait_until

NODES = 9


class StorageTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name) / "net"
        self.net = Devnet(
            nodes=NODES, exits=2,
            arguments=("--dir", str(self.dir), "--shards", "64", "--swarm-size", "5", "--epoch", "6", "--credit", "600"))
        self.net.__enter__()
        self.addCleanup(self.net.close)

    def nodes(self, asked=0):
        return {node["id"]: node for node in ask(self.net.nodes[asked].control, "nodes")["nodes"]}

    def figures(self, number):
        return self.net.nodes[number].status().get("storage_tests", {})

    @contextlib.contextmanager
    def losing(self, number):
        """Deletes all items of a node, four times a second."""
        path, over, deleted = self.dir / f"node-{number + 1}" / "swarm.sqlite", threading.Event(), []

        def work():
            with contextlib.closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as file:
                while not over.wait(0.25):
                    deleted.append(file.execute("DELETE FROM entries").rowcount)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield deleted
        finally:
            over.set()
            thread.join()

    def test_a_node_that_loses_items_is_put_out_by_tests_of_its_storage(self):
        ids = [node.status()["node"] for node in self.net.nodes]
        # Each node has an item at each other one, and has seen it there.
        wait_until(
            lambda: all(self.figures(number).get("boxes") == NODES - 1 for number in range(NODES)), 120, interval=0.5)
        wait_until(
            lambda: all(self.figures(number).get("retention_passed", 0) >= 4 for number in range(NODES)), 120, interval=0.5)
        self.assertEqual({node["state"] for node in self.nodes().values()}, {"active"})
        victim = NODES - 1
        began = time.monotonic()
        with self.losing(victim) as deleted:
            wait_until(lambda: self.nodes()[ids[victim]]["state"] == "decommissioned", 300, interval=0.2)
            print(f"decommissioned {time.monotonic() - began:.1f} s after the first loss", flush=True)
        self.assertGreater(sum(deleted), NODES)
        found = self.nodes()
        # No other node is put out, and most say what this one's fault is: it passes the tests of paths.
        self.assertEqual({node["state"] for id, node in found.items() if id != ids[victim]}, {"active"})
        judges = [self.nodes(number)[ids[victim]] for number in range(NODES - 1)]
        self.assertGreaterEqual(sum(node.get("storage_marks", 0) >= 3 for node in judges), 5, judges)
        self.assertTrue(all(node.get("marks", 0) < 3 for node in judges), judges)
        for number in range(NODES - 1):
            for id, node in self.nodes(number).items():
                if id not in (ids[victim], ids[number]):
                    self.assertLess(node.get("storage_marks", 0), 3, (number, node))
        table = subprocess.run(
            [binary(), "nodes", "--control", self.net.nodes[0].control], capture_output=True, text=True).stdout
        self.assertIn("storage test", table.splitlines()[0])
        metrics = ask(self.net.nodes[0].control, "metrics")["metrics"]
        for result in ("passed", "failed", "unclear"):
            for test in ("retention", "acceptance"):
                self.assertIn(f'tunic_storage_tests_total{{role="relay",test="{test}",result="{result}"}}', metrics)
        # A disk that keeps what it gets again brings the node back.
        wait_until(lambda: self.nodes()[ids[victim]]["state"] == "active", 300, interval=0.5)


if __name__ == "__main__":
    unittest.main()
