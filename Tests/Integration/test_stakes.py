"""An operator's stake on running networks: outages, maintenance, monitoring, and keys that are stored separately."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

from devnet import Devnet, ask, binary, wait_until
from test_ledger import tunic


class Stakes(unittest.TestCase):
    """A network of three nodes by default, and its wallets."""

    nodes, exits, arguments = 3, 1, ("--epoch", "4", "--credit", "60")

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.net = Devnet(
            nodes=self.nodes, exits=self.exits, arguments=("--dir", str(self.folder / "net"), *self.arguments))
        self.net.__enter__()
        self.addCleanup(self.net.close)
        self.ids = [ask(node.control, "status")["node"] for node in self.net.nodes]
        self.addCleanup(self.resume)
        self.stopped = []

    def resume(self):
        for pid in self.stopped:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass

    def freeze(self, number):
        self.stopped.append(self.net.nodes[number].pid)
        self.net.nodes[number].kill(signal.SIGSTOP)

    def thaw(self, number):
        self.net.nodes[number].kill(signal.SIGCONT)

    def state(self, number, at=0):
        nodes = ask(self.net.nodes[at].control, "nodes")["nodes"]
        return next((node["state"] for node in nodes if node["id"] == self.ids[number]), None)

    def wait_for(self, number, state, limit=60):
        wait_until(lambda: self.state(number) == state, limit, interval=0.2)

    def maintain(self, number, duration):
        """Requests a maintenance from a node, again after the next block if the state has changed in this one."""
        end = time.monotonic() + 60
        while True:
            done = tunic("maintenance", duration, "--control", self.control(number))
            if "staleRequest" not in done[2] or time.monotonic() > end:
                return done
            time.sleep(0.5)

    def wallet(self, number):
        return self.folder / "net" / "wallets" / f"operator-{number + 1}.key"

    def control(self, number=0):
        return self.net.nodes[number].control


class ThreeNodes(Stakes):
    def test_s2_a_dead_node_of_three_puts_nobody_out(self):
        """The dead node stays too, because a path needs all three."""
        wait_until(lambda: all(ask(node.control, "status")["watching"]["passed"] >= 2 for node in self.net.nodes))
        self.freeze(2)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            self.assertEqual([self.state(number) for number in range(3)], ["active"] * 3)
            time.sleep(1)
        self.thaw(2)
        wait_until(lambda: all(ask(node.control, "status")["ready"] for node in self.net.nodes))

    def test_s4_s7_what_is_not_ready_says_so_by_its_status(self):
        self.assertEqual(tunic("status", "--control", self.control())[0], 0)
        self.assertEqual(tunic("metrics", "--control", self.control())[1].count('tunic_ready{role="relay"} 1'), 1)
        # A node that is not in the registry.
        folder = self.folder / "new"
        id = tunic("network", "key", "--data", folder)[1]
        process = subprocess.Popen(
            [binary(), "relay", "--network", self.folder / "net" / "network.json", "--listen", "127.0.0.1:0", "--data",
             folder], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        control = folder / "control.sock"
        wait_until(lambda: tunic("status", "--control", control)[0] == 1)
        wait_until(lambda: "not registered" in tunic("status", "--control", control)[1])
        metrics = tunic("metrics", "--control", control)[1]
        self.assertIn('tunic_ready{role="relay"} 0', metrics)
        self.assertIn('tunic_registry_state{state="unregistered"} 1', metrics)
        status, out, _ = tunic(
            "relay", "--check", "--network", self.folder / "net" / "network.json", "--listen", "127.0.0.1:0", "--data",
            folder)
        self.assertEqual(status, 69, out)
        self.assertIn("not registered", out)
        process.terminate()
        log = process.stderr.read()
        self.assertIn(id, log)
        self.assertNotIn("unknownBase", log)

    def test_s5_node_and_wallet_are_never_in_one_process(self):
        account = tunic("wallet", "show", "--wallet", self.wallet(0))[1]
        state = self.folder / "state.json"
        state.write_text(tunic("stake", "state", "--account", account, "--control", self.control())[1])
        # Without a relay: only the file and the wallet are used.
        signed = self.folder / "fee.json"
        status, out, err = tunic(
            "stake", "fee", "--wallet", self.wallet(0), "--offline", state, "--node", self.ids[0], "--fee", "3")
        self.assertEqual(status, 0, err)
        signed.write_text(out)
        self.assertIn("set the fee", json.loads(out)["what"])
        other = self.wallet(1)
        status, _, err = tunic("stake", "claim", "--wallet", other, "--offline", state)
        self.assertEqual(status, 65)
        self.assertIn("is for the account", err)
        # A dry run reports the result of the rules, and changes nothing.
        status, out, _ = tunic(
            "stake", "fee", "--dry-run", "--wallet", self.wallet(0), "--control", self.control(), "--node", self.ids[0],
            "--fee", "2")
        self.assertEqual(status, 0)
        self.assertIn("nothing was done", out)
        status, _, err = tunic(
            "stake", "fee", "--dry-run", "--wallet", other, "--control", self.control(), "--node", self.ids[0], "--fee", "2")
        self.assertEqual(status, 65)
        self.assertIn("notOperator", err)
        status, out, err = tunic("stake", "submit", signed, "--control", self.control(1))
        self.assertEqual(status, 0, err)
        # The operation was submitted once; its nonce is used up.
        status, _, err = tunic("stake", "submit", signed, "--control", self.control(1))
        self.assertEqual(status, 65)
        self.assertIn("sign it again", err)
        # The operation has expired.
        state.write_text(tunic("stake", "state", "--account", account, "--control", self.control())[1])
        out = tunic("stake", "fee", "--wallet", self.wallet(0), "--offline", state, "--valid", "1", "--node", self.ids[0],
                    "--fee", "2")[1]
        signed.write_text(out)
        height = json.loads(state.read_text())["height"]
        wait_until(lambda: ask(self.control(), "nodes")["height"] > height + 1)
        status, _, err = tunic("stake", "submit", signed, "--control", self.control())
        self.assertEqual(status, 65)
        self.assertIn("was for blocks up to", err)
        # A node agrees to its registration on its own machine.
        folder = self.folder / "new"
        tunic("network", "key", "--data", folder)
        proof = self.folder / "proof.json"
        proof.write_text(tunic(
            "stake", "proof", "--account", account, "--control", self.control(), "--node-key", folder, "--fee", "10",
            "--stake", "6250")[1])
        status, out, err = tunic("stake", "register", "--yes", "--wallet", self.wallet(0), "--offline", proof)
        self.assertEqual(status, 0, err)
        signed.write_text(out)
        status, _, err = tunic("stake", "submit", signed, "--control", self.control())
        # The operators of a devnet have staked all that they own.
        self.assertEqual(status, 65)
        self.assertRegex(err, "overspent|operationFeeUnpaid")

    def test_what_cannot_be_taken_back_is_not_done_without_a_question(self):
        account = tunic("wallet", "show", "--wallet", self.wallet(1))[1]
        state = self.folder / "state-of-1.json"
        state.write_text(tunic("stake", "state", "--account", account, "--control", self.control())[1])
        new = self.folder / "unasked"
        tunic("network", "key", "--data", new)
        before = json.loads(tunic("stake", "show", "--json", "--account", account, "--control", self.control())[1])
        for what, *arguments in [
            ("leave", "--node", self.ids[1]), ("leave", "--node", self.ids[1], "--offline", state),
            ("transfer", "--to", account, "--amount", "0.1"),
            ("register", "--node-key", new, "--fee", "10", "--stake", "6250"),
        ]:
            by = [] if "--offline" in arguments else ["--control", self.control()]
            status, out, err = tunic("stake", what, "--wallet", self.wallet(1), *by, *arguments)
            self.assertEqual((status, out), (64, ""), what)
            self.assertIn("there is no terminal to ask at; give --yes", err)
        # A trial does nothing, and so does not ask.
        status, out, err = tunic(
            "stake", "leave", "--dry-run", "--wallet", self.wallet(1), "--control", self.control(), "--node", self.ids[1])
        self.assertNotIn("terminal", err)
        after = json.loads(tunic("stake", "show", "--json", "--account", account, "--control", self.control())[1])
        for key in ("nonce", "stakes", "balance"):
            self.assertEqual(after[key], before[key])

    def test_s9_a_shortened_id_will_do(self):
        status, out, err = tunic("nodes", f"{self.ids[1][:8]}…snode", "--control", self.control())
        self.assertEqual(status, 0, err)
        self.assertIn(self.ids[1], out)

    def test_maintenance_is_refused_with_a_sentence_where_too_few_nodes_stay(self):
        status, _, err = self.maintain(1, "10s")
        self.assertEqual(status, 65)
        self.assertIn("too few nodes would stay active", err)


class SixNodes(Stakes):
    nodes, exits = 6, 2

    def test_s1_outages_cost_their_time_and_nothing_else(self):
        wait_until(lambda: all(ask(node.control, "status")["watching"]["passed"] >= 5 for node in self.net.nodes))
        for _ in range(2):
            self.freeze(4)
            self.wait_for(4, "decommissioned")
            self.thaw(4)
            self.wait_for(4, "active")
        self.assertEqual(
            [node["state"] for node in ask(self.control(), "nodes")["nodes"]], ["active"] * 6)
        # A node that is away for longer than its allowance is deregistered. Its account shows why, and until when its
        # stake is locked.
        self.freeze(4)
        self.wait_for(4, None, 180)
        status, out, _ = tunic("nodes", self.ids[4], "--control", self.control())
        self.assertEqual(status, 0)
        self.assertRegex(out, "deregistered: it was away for longer than its credit and the [0-9]+ s of grace after it; "
                         "its stake is locked until 20")
        out = tunic("stake", "show", "--wallet", self.wallet(4), "--control", self.control())[1]
        self.assertRegex(out, "locked +25000 SESH until 20.*was +deregistered.*its credit and the [0-9]+ s of grace")
        # After its thaw the node hears of this from the others, which no longer answer it as a node.
        wait_until(lambda: ask(self.control(), "status")["snapshot"]["nodes"] == 5)
        self.thaw(4)
        wait_until(lambda: "was deregistered" in (ask(self.control(4), "status").get("problem") or ""), 60, interval=0.5)
        self.assertRegex(ask(self.control(4), "status")["problem"], "its credit and the [0-9]+ (s|min) of grace after it")

    def test_s3_a_decommissioned_node_is_not_ready_and_its_metrics_say_why(self):
        wait_until(lambda: all(ask(node.control, "status")["watching"]["passed"] >= 5 for node in self.net.nodes))
        self.freeze(4)
        self.wait_for(4, "decommissioned")
        self.thaw(4)
        seen = False
        while self.state(4) == "decommissioned":
            metrics = tunic("metrics", "--control", self.control(4))[1]
            if 'tunic_registry_state{state="decommissioned"} 1' in metrics:
                seen = True
                self.assertIn('tunic_ready{role="relay"} 0', metrics)
        self.assertTrue(seen)

    def test_maintenance_is_no_outage(self):
        status, _, err = self.maintain(4, "2h")
        self.assertEqual(status, 65)
        self.assertIn("a maintenance takes", err)
        status, out, err = self.maintain(4, "40s")
        self.assertEqual(status, 0, err)
        self.assertEqual(self.state(4), "maintenance")
        self.assertIn("maintenance", tunic("status", "--control", self.control(4))[1])
        self.freeze(4)
        time.sleep(8)
        self.thaw(4)
        self.assertEqual(self.state(4), "maintenance")
        # This works as soon as the node has the blocks that it missed.
        wait_until(lambda: tunic("maintenance", "end", "--control", self.control(4))[0] == 0, interval=0.5)
        self.wait_for(4, "active")
        self.assertEqual(tunic("maintenance", "20s", "--control", self.control(4))[0], 65)
        # Another node comes back by itself.
        self.assertEqual(self.maintain(3, "5s")[0], 0)
        self.wait_for(3, "active", 20)


if __name__ == "__main__":
    unittest.main()
