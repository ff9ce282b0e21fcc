"""Onion requests of the real program: `tunic request NODE status`."""

import json
import signal
import subprocess
import time
import unittest

from devnet import Devnet, ask, binary, wait_until

# The id of an unused key: 52 characters, of which the last has one bit.
STRANGER = "y" * 52 + ".snode"


def run(*words, timeout=30):
    """Status, standard output and standard error of the program."""
    done = subprocess.run([binary(), *words], capture_output=True, text=True, timeout=timeout)
    return done.returncode, done.stdout, done.stderr


class Requests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.net = Devnet(nodes=7, exits=2)
        cls.net.__enter__()
        cls.addClassCleanup(cls.net.close)
        wait_until(lambda: cls.net.status()["ready"], 30)
        wait_until(lambda: cls.net.status()["descriptors"] == 7, 30)

    def request(self, *words):
        return run("request", *words, "--control", self.net.control)

    def test_every_node_tells_its_state(self):
        height = self.net.status()["snapshot"]["height"]
        for node in self.net.nodes[:6]:
            status, output, errors = self.request(node.id, "status", "--json")
            self.assertEqual((status, errors), (0, ""), node)
            report = json.loads(output)
            self.assertEqual((report["node"], report["fill"], report["stores"]), (node.id, 0, False))
            self.assertGreaterEqual(report["height"], height)
            self.assertGreater(report["time_ms"], 0)
            figures = node.status()["requests"]
            self.assertGreaterEqual(figures["answered_here"], 1)
        status, output, errors = self.request(self.net.nodes[0].id, "status")
        self.assertEqual((status, errors), (0, ""))
        self.assertIn(self.net.nodes[0].id, output)
        self.assertIn("height", output)
        # A node has passed each of them on. Metrics name neither the target nor the client.
        asked = sum(node.status()["requests"]["begun"] for node in self.net.nodes)
        self.assertGreaterEqual(asked, 7)
        for control in [self.net.control, *(node.control for node in self.net.nodes)]:
            metrics = ask(control, "metrics")["metrics"]
            self.assertIn("tunic_requests_total", metrics)
            self.assertNotIn(".snode", metrics)
            log = "\n".join(ask(control, "log")["lines"])
            self.assertNotIn("request", log)

    def test_wrong_words_are_told(self):
        node = self.net.nodes[0].id
        for words, said in [
            (["nobody", "status"], "'nobody' is not a node's id"),
            ([node, "stat"], "stat"),
            ([node], "method"),
            ([], "node"),
            ([node, "status", "more"], "more"),
        ]:
            status, output, errors = self.request(*words)
            self.assertEqual((status, output), (64, ""), words)
            self.assertIn(said, errors)
            self.assertEqual(errors.count("\n"), 1)
        status, _, errors = self.request(STRANGER, "status")
        self.assertEqual(status, 69)
        self.assertIn("is not in the snapshot", errors)
        # A relay's control socket, a missing one, and the socket itself.
        status, _, errors = run("request", node, "status", "--control", self.net.nodes[1].control)
        self.assertEqual(status, 69)
        self.assertIn("ask a client", errors)
        status, _, errors = run("request", node, "status", "--control", "/nonexistent/control.sock")
        self.assertEqual(status, 69)
        self.assertIn("no such socket", errors)
        for argument in [None, "", node, f"{node} other", f"{node} status more", "x" * 3000]:
            with self.assertRaisesRegex(RuntimeError, "expected a node's id"):
                ask(self.net.control, "request", argument=argument)

    def test_z_a_node_that_is_gone_or_stands_still_does_not_answer(self):
        node = self.net.nodes[6]
        node.kill(signal.SIGSTOP)
        self.addCleanup(node.kill, signal.SIGCONT)
        started = time.monotonic()
        status, output, errors = self.request(node.id, "status")
        self.assertEqual((status, output), (69, ""))
        self.assertIn("has not answered", errors)
        self.assertLess(time.monotonic() - started, 14)
        # The other nodes answer in the meantime.
        self.assertEqual(self.request(self.net.nodes[0].id, "status")[0], 0)
        node.kill(signal.SIGCONT)
        wait_until(lambda: self.request(node.id, "status")[0] == 0, 60, 1)


if __name__ == "__main__":
    unittest.main()
