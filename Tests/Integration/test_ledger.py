"""The ledger of a running network: joining it, what it refuses, leaving it, and authorities that are killed.

LEDGER_KILLS is the number of times that an authority is killed (3).
"""

import concurrent.futures
import json
import os
import pathlib
import socket
import subprocess
import tempfile
import time
import unittest

from devnet import Devnet, ask, binary, is_running, wait_until
from network import free_port

SESH = 10**9
# The operation fee.
FEE = SESH // 100


def tunic(*arguments, timeout=60):
    """Exit status, standard output and standard error of a command."""
    done = subprocess.run(
        [binary(), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


class Snapshots:
    """The heights of the snapshots that a process trusts during the observation, including the first one."""

    def __init__(self, control):
        self.control, self.heights, self.status = control, [], None

    def look(self):
        self.status = ask(self.control, "status")
        height = self.status["snapshot"]["height"]
        if height not in self.heights:
            self.heights.append(height)
        return self.heights


class LedgerTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name) / "net"
        cls.net = Devnet(
            nodes=5, exits=1, arguments=("--dir", str(cls.folder), "--epoch", "3", "--path-use", "3", "--log-level", "info"))
        cls.net.__enter__()
        cls.network = cls.folder / "network.json"
        cls.bank = cls.folder / "wallets" / "bank.key"
        cls.processes = []

    @classmethod
    def tearDownClass(cls):
        for process in cls.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        cls.net.close()
        cls.temporary.cleanup()

    # MARK: Helpers

    @property
    def control(self):
        return self.net.nodes[4].control

    def stake(self, what, wallet, *arguments):
        return tunic("stake", what, "--yes", "--wallet", wallet, "--control", self.control, *arguments)

    def done(self, what, wallet, *arguments):
        status, out, err = self.stake(what, wallet, *arguments)
        self.assertEqual(status, 0, f"{what}: {err}")
        self.assertEqual("for a fee of 0.01 SESH" in out, what != "leave", out)

    def refused(self, rule, what, wallet, *arguments):
        """A forbidden operation is refused with the rule's name, and only time changes the state."""
        before = self.holdings()
        status, _, err = self.stake(what, wallet, *arguments)
        self.assertEqual(status, 65, f"{what}: {err}")
        self.assertIn(f"refused by the rule {rule};", err)
        self.assertEqual(self.holdings(), before)

    def holdings(self):
        """Balances, nonces and nodes: the whole state that an operation could change."""
        accounts = [self.account(wallet) for wallet in self.wallets]
        nodes = ask(self.control, "nodes")["nodes"]
        return (
            [(a["balance"], a["nonce"], a["stakes"]) for a in accounts],
            [(n["id"], n["state"], n["stake"], n["fee"], n.get("leaves_at")) for n in nodes])

    wallets = ()

    def account(self, wallet):
        status, out, err = tunic("stake", "show", "--json", "--wallet", wallet, "--control", self.control)
        self.assertEqual(status, 0, err)
        return json.loads(out)

    def wallet(self, name, amount):
        """A wallet with an amount of SESH from the bank."""
        path = self.folder / f"{name}.key"
        status, account, err = tunic("wallet", "new", "--wallet", path)
        self.assertEqual(status, 0, err)
        self.assertEqual(tunic("wallet", "show", "--wallet", path)[1], account)
        self.done("transfer", self.bank, "--to", account, "--amount", amount)
        return path

    def ask(self, command, argument):
        """The control socket's answer to a command with an argument."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(self.control)
            connection.sendall(json.dumps({"command": command, "argument": argument}).encode() + b"\n")
            return json.loads(connection.makefile().readline())

    @staticmethod
    def problem(control):
        """The problem that a process reports; nothing until it answers."""
        try:
            return ask(control, "status").get("problem")
        except OSError:
            return None

    def node(self, id):
        return self.ask("nodes", id)["nodes"][0]

    def relay(self, folder, address, *arguments):
        log = open(pathlib.Path(folder) / "log", "ab")
        process = subprocess.Popen(
            [binary(), "relay", "--network", self.network, "--listen", address, "--data", folder, *arguments],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        self.processes.append(process)
        return process

    # MARK: Tests

    def test_a_node_joins_serves_and_leaves(self):
        folder = self.folder / "newcomer"
        status, id, err = tunic("network", "key", "--data", folder)
        self.assertEqual(status, 0, err)
        operator = self.wallet("operator", 6_260)
        # The last friend has only its stake and one operation fee.
        funds = {f"friend-{i}": amount for i, amount in enumerate(("6260", "6260", "6250.01"))}
        friends = [self.wallet(name, amount) for name, amount in funds.items()]
        type(self).wallets = (operator, *friends)
        port = free_port()
        self.relay(folder, f"127.0.0.1:{port}")
        control = str(folder / "control.sock")
        wait_until(lambda: "not registered" in (self.problem(control) or ""))

        register = ("--node-key", folder, "--fee", "10", "--stake")
        self.refused("stakeUnder", "register", operator, *register, "6249.999999999")
        self.refused("stakeOver", "register", operator, *register, "25000.000000001")
        self.refused("overspent", "register", operator, *register, "6261")
        self.refused("feeOutOfRange", "register", operator, "--node-key", folder, "--fee", "100.01", "--stake", "6250")
        # The operation is submitted at the new node itself.
        status, _, err = tunic(
            "stake", "register", "--yes", "--wallet", operator, "--control", control, *register, "6250")
        self.assertEqual(status, 0, err)
        wait_until(lambda: self.account(operator)["stakes"])
        self.assertEqual(self.node(id)["state"], "open")
        self.refused("alreadyRegistered", "register", self.bank, *register, "6250")
        self.refused("stakeUnder", "contribute", friends[0], "--node", id, "--amount", "1874.999999999", "--fee", "10")
        self.refused("feeAbove", "contribute", friends[0], "--node", id, "--amount", "6250", "--fee", "9.99")
        self.refused("notOperator", "fee", friends[0], "--node", id, "--fee", "1")
        self.refused("notFull", "leave", operator, "--node", id)
        self.forged(operator)
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            for result in pool.map(
                    lambda friend: self.stake("contribute", friend, "--node", id, "--amount", "6250", "--fee", "10"),
                    friends):
                self.assertEqual(result[0], 0, result[2])
        self.assertEqual(self.node(id)["state"], "active")
        self.assertEqual(self.account(friends[2])["balance"], 0)
        bank = self.account(self.bank)["account"]
        self.refused("operationFeeUnpaid", "transfer", friends[2], "--to", bank, "--amount", "1")
        self.refused("notOpen", "contribute", self.bank, "--node", id, "--amount", "1", "--fee", "100")
        # The node is staked in the second snapshot at the latest. Then paths lead over it.
        snapshots = Snapshots(control)
        wait_until(lambda: snapshots.look() and snapshots.status["ready"])
        self.assertLessEqual(len(snapshots.heights), 3, snapshots.heights)
        wait_until(lambda: self.net.status()["descriptors"] == 6)
        wait_until(lambda: any(id in path["hops"] for path in self.net.paths()), timeout=60, interval=0.1)

        claimed = self.rewarded(operator, friends)

        self.refused("notContributor", "leave", self.bank, "--node", id)
        self.done("leave", friends[1], "--node", id)
        self.refused("leaveAskedTwice", "leave", operator, "--node", id)
        leaves = self.node(id)["leaves_at"]
        wait_until(lambda: "error" in self.ask("nodes", id))
        height = ask(self.control, "nodes")
        self.assertTrue(leaves <= height["time"] <= leaves + 4, (leaves, height["time"]))
        # All parts of the stake and the claimed rewards are free. Each operation but the leave has cost the fee.
        for wallet in (operator, *friends):
            account = self.account(wallet)
            had = (6_250 * SESH + FEE if wallet == friends[2] else 6_260 * SESH) + claimed.get(wallet, 0)
            paid = account["nonce"] - (1 if wallet == friends[1] else 0)
            self.assertEqual(account["balance"], had - paid * FEE)

    def rewarded(self, operator, friends):
        """Four equal parts of the stake: the operator has the fee of 10 % and a quarter of the rest, each friend a quarter."""
        wait_until(lambda: self.account(operator)["rewards"], interval=0.2)
        claimed = {}
        for wallet in (friends[0], operator):
            before = self.account(wallet)
            self.done("claim", wallet)
            claimed[wallet] = self.account(wallet)["balance"] - before["balance"] + FEE
            self.assertGreaterEqual(claimed[wallet], before["rewards"])

        def between_distributions():
            had = [claimed.get(w, 0) + self.account(w)["rewards"] for w in (operator, *friends, operator)]
            return had[0] == had[-1] and had[:-1]

        had = wait_until(between_distributions)
        self.assertGreater(had[1], 0)
        self.assertEqual(had[1:], [had[1]] * 3)
        # The operator gets the rounding remainder of each distribution.
        self.assertTrue(0 <= had[0] - had[1] - sum(had) // 10 <= 100, had)
        self.refused("nothingToClaim", "claim", self.bank)
        return claimed

    def forged(self, wallet):
        """Operations of the wallet's account that it has not signed: a claim with a wrong signature, and an old one."""
        account = self.account(wallet)
        for nonce, rule in ((account["nonce"], "wrongSigner"), (account["nonce"] - 1, "replayed")):
            head = bytes([1, 8]) + bytes.fromhex(account["network"]) + bytes.fromhex(account["account"])
            operation = (head + nonce.to_bytes(8, "little") + b"\xff" * 8 + bytes(range(64))).hex()
            before = self.holdings()
            report = self.ask("submit", operation)
            report = wait_until(
                lambda: (r := self.ask("operation", report["operation"]))["state"] != "waiting" and r)
            self.assertEqual((report["state"], report["rule"]), ("refused", rule))
            self.assertEqual(self.holdings(), before)
        self.assertIn("error", self.ask("submit", "00"))
        self.assertIn("error", self.ask("submit", "zz"))

    def test_killed_authorities_come_back_to_the_same_chain(self):
        index = 1
        node = self.net.nodes[index]
        folder = self.folder / f"node-{index + 1}"
        pid = node.pid
        for _ in range(int(os.environ.get("LEDGER_KILLS", "3"))):
            os.kill(pid, 9)
            wait_until(lambda dead=pid: not is_running(dead))
            before = ask(self.control, "nodes")["height"]
            process = self.relay(folder, node.address, "--authority", folder / "authority.key")
            pid = process.pid
            wait_until(lambda low=before: self.height(node.control) > low)
        text = (folder / "log").read_text()
        for word in ("refused", "stopped", "fork"):
            self.assertNotIn(f"ledger {word}", text)

        # A file that another program has damaged is reported, and the ledger does not begin anew by itself.
        process.kill()
        process.wait()
        for name in ("ledger.sqlite-wal", "ledger.sqlite-shm"):
            (folder / name).unlink(missing_ok=True)
        with open(folder / "ledger.sqlite", "r+b") as file:
            file.write(b"\xa5" * 4096)
        done = subprocess.run(
            [binary(), "relay", "--network", self.network, "--listen", node.address, "--data", folder],
            capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 65, done.stderr)
        self.assertIn("ledger.sqlite is damaged", done.stderr)
        # Without the file, the node fetches the ledger again from the others.
        for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
            (folder / name).unlink(missing_ok=True)
        before = ask(self.control, "nodes")["height"]
        self.relay(folder, node.address)
        wait_until(lambda: self.height(node.control) >= before)

    @staticmethod
    def height(control):
        try:
            return ask(control, "nodes")["height"]
        except (OSError, RuntimeError):
            return -1


if __name__ == "__main__":
    unittest.main()
