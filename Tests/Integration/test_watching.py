"""Nodes that watch one another on a running network, and `tunic relay --check`.

By default a killed node is decommissioned, starts again, and is recommissioned and used. With TUNIC_WATCHING=long it is left dead a
second time, until it is deregistered and its stake is locked, and then free.
"""

import json
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

from devnet import Devnet, ask, binary, wait_until
from network import Network, Process, free_port
from test_ledger import Snapshots

LONG = os.environ.get("TUNIC_WATCHING") == "long"


class Watching(unittest.TestCase):
    nodes, exits = 8, 2

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.credit = 40
        self.wallets = pathlib.Path(folder.name) / "net" / "wallets"
        self.net = Devnet(
            nodes=self.nodes, exits=self.exits,
            arguments=("--dir", str(pathlib.Path(folder.name) / "net"), "--epoch", "2", "--credit", str(self.credit),
                "--path-use", "3"))
        self.net.__enter__()
        self.addCleanup(self.net.close)
        self.started = None
        self.addCleanup(self.stop)

    def stop(self):
        if self.started:
            self.started.kill()
            self.started.wait()

    def states(self):
        return {node["id"]: node["state"] for node in ask(self.net.nodes[0].control, "nodes")["nodes"]}

    def state(self, node):
        return self.states().get(node)

    def wait_for(self, node, state, limit):
        began = time.monotonic()
        wait_until(lambda: self.state(node) == state, limit, interval=0.2)
        return time.monotonic() - began

    def second_hop(self):
        """A node that the client uses as a second hop. The client keeps four of them for days, and uses others only by chance."""
        ids = [ask(node.control, "status")["node"] for node in self.net.nodes]
        hops = []

        def look():
            paths = [path["hops"] for path in ask(self.net.control, "paths")["paths"]]
            hops[:] = {path[1] for path in paths} - {path[-1] for path in paths} - {ids[0]}
            return hops

        wait_until(look, 60)
        return ids.index(hops[0])

    def test_a_dead_node_is_put_aside_and_comes_back(self):
        number = self.second_hop()
        victim = self.net.nodes[number]
        node = ask(victim.control, "status")["node"]
        wait_until(lambda: ask(self.net.nodes[0].control, "status")["watching"]["passed"] >= 4, interval=0.2)
        self.assertEqual(self.state(node), "active")
        for other in self.net.nodes:
            self.assertEqual(ask(other.control, "status")["watching"]["verdicts"], 0)
        command = pathlib.Path(f"/proc/{victim.pid}/cmdline").read_bytes().decode().split("\0")[:-1]
        if "--parent-fd" in command:
            place = command.index("--parent-fd")
            del command[place:place + 2]
        victim.kill()
        wait_until(lambda: not victim.is_running)
        # The node comes back at an unreachable address. Its operator is warned before it is judged. Then it is killed.
        self.started = subprocess.Popen(
            [*command, "--public", f"127.0.0.1:{free_port()}"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        wait_until(lambda: "does not serve" in self.problem(victim) or "did not serve" in self.problem(victim), 60, 0.1)
        self.stop()
        took = self.wait_for(node, "decommissioned", self.credit)
        print(f"decommissioned {took:.1f} s after its end, of {self.credit} s of credit", flush=True)
        # No other node is judged, and after the next snapshot no new path leads over this one.
        self.assertEqual({state for other, state in self.states().items() if other != node}, {"active"})
        since = time.monotonic() + 4
        fresh = 0
        while time.monotonic() < since + 4:
            for path in ask(self.net.control, "paths")["paths"]:
                if path["age_s"] < time.monotonic() - since:
                    fresh += 1
                    self.assertNotIn(node, path["hops"])
            time.sleep(0.5)
        self.assertGreater(fresh, 0)
        self.started = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Its operator is told why no path leads over it.
        wait_until(lambda: "decommissioned" in self.problem(victim), interval=0.1)
        took = self.wait_for(node, "active", 60)
        print(f"recommissioned {took:.1f} s after its start", flush=True)
        # The node is staked again in the second snapshot at the latest, and is used.
        snapshots = Snapshots(victim.control)
        wait_until(lambda: snapshots.look() and snapshots.status["ready"], interval=0.05)
        self.assertLessEqual(len(snapshots.heights), 3, snapshots.heights)
        self.assertNotIn("decommissioned", self.problem(victim))
        wait_until(lambda: any(node in path["hops"] for path in ask(self.net.control, "paths")["paths"]), 60)
        # The table shows its state and the time of this node's last test of it.
        table = subprocess.run(
            [binary(), "nodes", "--control", self.net.nodes[0].control], capture_output=True, text=True).stdout
        row = next(line for line in table.splitlines() if line.startswith(node))
        self.assertRegex(row, r"active +25000 +[0-9.]+ % +\d+ s +0:\d\d:\d\d +\d+ s ago")
        if LONG:
            self.leave_it_dead(node, self.wallets / f"operator-{number + 1}.key")

    def leave_it_dead(self, node, operator):
        """Its credit is used up: it is deregistered, and its stake is locked for the full time."""

        def account():
            done = subprocess.run(
                [binary(), "stake", "show", "--json", "--wallet", operator, "--control", self.net.nodes[0].control],
                capture_output=True, text=True, check=True)
            return json.loads(done.stdout)

        staked = account()["stakes"][0]["amount"]
        before = account()["balance"]
        self.stop()
        self.started = None
        self.wait_for(node, "decommissioned", 60)
        took = self.wait_for(node, None, 3 * self.credit)
        print(f"deregistered {took:.1f} s later", flush=True)
        held = account()
        self.assertEqual((held["stakes"], held["balance"]), ([], before))
        self.assertEqual([lock["amount"] for lock in held["locked"]], [staked])
        wait_until(lambda: not account()["locked"], 90, interval=0.5)
        self.assertEqual(account()["balance"], before + staked)

    @staticmethod
    def problem(node):
        try:
            return ask(node.control, "status").get("problem") or ""
        except (OSError, RuntimeError):
            return ""



class Check(unittest.TestCase):
    def check(self, network, number, *arguments):
        result = subprocess.run(
            [binary(), "relay", "--check", "--json", "--network", network.file, "--data",
             network.folder / "net" / f"node-{number + 1}", "--listen", network.addresses[number][0], *arguments],
            capture_output=True, text=True, timeout=60)
        return result.returncode, json.loads(result.stdout)

    def test_an_operator_sees_whether_his_node_can_serve(self):
        with Network([[f"127.0.0.1:{free_port()}"] for _ in range(4)], exits=0) as network:
            network.start_nodes()
            wait_until(lambda: all(node.status()["descriptors"] == 4 for node in network.nodes))
            # A running node is asked; a node that is not running is started for the check.
            status, report = self.check(network, 0)
            self.assertEqual((status, report["serves"]), (0, True), report)
            for number in (1, 2):
                network.nodes[number].process.kill()
                network.nodes[number].process.wait()
            status, report = self.check(network, 1)
            self.assertEqual((status, report["serves"]), (0, True), report)
            # A node cannot be reached at a port where nothing listens.
            port = free_port()
            status, report = self.check(network, 2, "--public", f"127.0.0.1:{port}")
            self.assertEqual(status, 69, report)
            bad = [item["name"] for item in report["items"] if item["verdict"] == "bad"]
            self.assertEqual(bad, ["reachable"])

    @unittest.skipIf(os.path.exists("/run/tunic"), "commands ask the service of this machine")
    def test_a_running_relay_needs_no_settings_for_its_check(self):
        with Network([[f"127.0.0.1:{free_port()}"] for _ in range(3)], exits=0) as network:
            network.start_nodes()
            wait_until(lambda: all(node.status()["descriptors"] == 3 for node in network.nodes))
            # A service's socket is not in its data folder.
            node, folder = network.nodes[0], network.folder / "net" / "node-1"
            node.process.terminate()
            node.process.wait(60)
            home = network.folder / "home"
            state = home / ".local" / "state" / "tunic"
            state.mkdir(0o700, parents=True)
            options = ["--network", network.file, "--data", folder, "--listen", network.addresses[0][0]]
            network.nodes[0] = Process([], ["relay", *options, "--control", state / "control.sock"], folder)
            network.nodes[0].control = str(state / "control.sock")
            wait_until(lambda: network.nodes[0].status()["ready"])

            def check(*arguments, home=home):
                done = subprocess.run(
                    [binary(), "relay", "--check", "--json", *map(str, arguments)], capture_output=True, text=True, timeout=60,
                    env={**os.environ, "HOME": str(home), "XDG_STATE_HOME": ""})
                return done.returncode, done.stdout and json.loads(done.stdout)["serves"], done.stderr

            self.assertEqual(check(), (0, True, ""))
            self.assertEqual(check(*options), (0, True, ""))
            self.assertEqual(check("--control", network.nodes[0].control, home="/nonexistent"), (0, True, ""))
            # Without a running relay the settings are needed; the folder of another node is not this relay's.
            status, _, err = check(home="/nonexistent")
            self.assertEqual(status, 64, err)
            self.assertIn("no network file", err)
            status, _, err = check("--data", network.folder / "net" / "node-2")
            self.assertEqual(status, 64, err)
            # A client is where other commands ask: it has nothing to say.
            network.nodes[0].process.terminate()
            network.nodes[0].process.wait(60)
            network.start_client(folder=state)
            wait_until(lambda: network.client.status()["descriptors"])
            status, _, err = check()
            self.assertEqual(status, 64, err)
            self.assertEqual(check(*options), (0, True, ""))


if __name__ == "__main__":
    unittest.main()
