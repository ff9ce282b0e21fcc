"""The swarm store of the real program: `tunic box`, `tunic swarm`, nodes that are killed, and files that are not as they should be."""

import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import unittest

from devnet import Devnet, ask, binary, wait_until
from network import Process

SIZES = [0, 1, 1_000, 1_900, 1_901, 5_000, 65_388]


def run(*words, timeout=60):
    """Status, standard output and standard error of the program."""
    done = subprocess.run([binary(), *map(str, words)], capture_output=True, text=True, timeout=timeout)
    return done.returncode, done.stdout, done.stderr


class Store(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="tunic-store-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.dir = cls.folder / "net"
        cls.net = Devnet(nodes=9, exits=2, arguments=("--shards", "64", "--dir", str(cls.dir)))
        cls.net.__enter__()
        cls.addClassCleanup(cls.net.close)
        wait_until(lambda: cls.net.status()["ready"], 60)
        wait_until(lambda: cls.net.status()["descriptors"] == 9, 60)

    def tunic(self, *words, status=0):
        def ask():
            result = run(*words, "--control", self.net.control)
            return None if "has answered" in result[2] or "try again" in result[2] else result

        # While nodes are dead, and on a busy machine, an answer may be late: whoever asks again gets it.
        found, output, errors = wait_until(ask)
        self.assertEqual(found, status, (words, output, errors))
        return output if status == 0 else errors

    def new_box(self):
        key = self.folder / f"box-{time.monotonic_ns()}.key"
        found, output, errors = run("box", "new", "--key", key)
        self.assertEqual((found, errors), (0, ""))
        return key, output.strip()

    def put(self, key, content):
        path = self.folder / "content"
        path.write_bytes(content)
        return json.loads(self.tunic("box", "put", "--key", key, "--file", path, "--json"))

    def replicas(self, key):
        report = json.loads(self.tunic("swarm", "--box", key, "--json"))
        ids = [replica["node"] for replica in report["replicas"]]
        return [node for node in self.net.nodes if node.id in ids]

    def get(self, key, item, node=None):
        out = self.folder / f"out-{time.monotonic_ns()}"
        self.tunic("box", "get", "--key", key, "--id", item, "--out", out, *(["--node", node.id] if node else []))
        return out.read_bytes()

    def restart(self, node):
        """A relay in place of a node that was killed."""
        number = self.net.nodes.index(node) + 1
        data = self.dir / f"node-{number}"
        authority = data / "authority.key"
        arguments = ["relay", "--network", self.dir / "network.json", "--listen", node.address, "--data", data]
        if authority.exists():
            arguments += ["--authority", authority]
        if node.exit:
            arguments += ["--exit", "--exit-allow", "127.0.0.0/8"]
        process = Process([], arguments, data)
        self.addCleanup(process.process.wait)
        self.addCleanup(process.process.kill)
        wait_until(lambda: process.status().get("store", {}).get("shards"), 60)
        return process

    def test_files_of_all_sizes_come_back_from_each_replica(self):
        key, box = self.new_box()
        self.assertEqual(len(box), 64)
        nodes = self.replicas(key)
        self.assertEqual(len(nodes), 7)
        contents = {}
        for size in SIZES:
            content = os.urandom(size)
            report = self.put(key, content)
            self.assertEqual(report["of"], 7)
            self.assertGreaterEqual(report["receipts"], 4)
            contents[report["id"]] = content
        time.sleep(2)
        for node in nodes:
            listed = json.loads(self.tunic("box", "list", "--key", key, "--node", node.id, "--json"))
            self.assertEqual({entry["id"] for entry in listed["entries"]}, set(contents))
            for item, content in contents.items():
                self.assertEqual(self.get(key, item, node), content)
            figures = node.status()["store"]
            self.assertGreaterEqual(figures["items"], len(SIZES))
            self.assertGreaterEqual(figures["receipts"], len(SIZES))
            self.assertEqual(figures["quota"], 20_000_000_000)
            self.assertIn("tunic_store_items", ask(node.control, "metrics")["metrics"])
        stranger = next(node for node in self.net.nodes if node not in nodes)
        errors = self.tunic("box", "list", "--key", key, "--node", stranger.id, status=69)
        self.assertEqual(errors.count("\n"), 1)
        # Deleted at all, and shown as such.
        gone = next(iter(contents))
        report = json.loads(self.tunic("box", "delete", "--key", key, "--id", gone, "--json"))
        self.assertGreaterEqual(report["replicas"], 4)
        time.sleep(2)
        for node in nodes:
            listed = json.loads(self.tunic("box", "list", "--key", key, "--node", node.id, "--json"))
            self.assertEqual(sum(entry["deleted"] for entry in listed["entries"]), 1)
            self.assertEqual(len(listed["entries"]), len(SIZES))
        errors = self.tunic("box", "get", "--key", key, "--id", gone, "--out", self.folder / "none", status=69)
        self.assertIn("deleted", errors)
        # Neither a log nor a metric names a box or an item.
        for node in nodes:
            text = "\n".join(ask(node.control, "log")["lines"]) + ask(node.control, "metrics")["metrics"]
            self.assertFalse(any(name in text for name in [box, *contents]))

    def test_watching_shows_what_comes(self):
        key, _ = self.new_box()
        first = self.put(key, b"first")["id"]
        watch = subprocess.Popen([binary(), "box", "watch", "--key", key, "--json", "--control", self.net.control],
                                 stdout=subprocess.PIPE, text=True)
        try:
            found = json.loads(watch.stdout.readline())
            self.assertEqual((found["id"], bytes.fromhex(found["content"])), (first, b"first"))
            second = self.put(key, b"second")["id"]
            found = json.loads(watch.stdout.readline())
            self.assertEqual((found["id"], bytes.fromhex(found["content"])), (second, b"second"))
        finally:
            watch.send_signal(signal.SIGINT)
            watch.wait(30)
            watch.stdout.close()

    def test_what_is_signed_survives_kills(self):
        key, _ = self.new_box()
        contents = {}
        for number in range(20):
            content = os.urandom(100 * number)
            contents[self.put(key, content)["id"]] = content
        # Nodes without an authority, so that the ledger goes on; the client may use others as guards.
        victims = [node for node in self.replicas(key) if not (self.dir / f"node-{self.net.nodes.index(node) + 1}" / "authority.key").exists()][:3]
        self.assertGreaterEqual(len(victims), 2)
        held = {node.id: node.status()["store"]["items"] for node in victims}
        for node in victims:
            node.kill()
        for item, content in contents.items():
            self.assertEqual(self.get(key, item), content)
        for node in victims:
            process = self.restart(node)
            self.assertGreaterEqual(process.status()["store"]["items"], held[node.id])
            mode = (self.dir / f"node-{self.net.nodes.index(node) + 1}" / "swarm.sqlite").stat().st_mode & 0o777
            self.assertEqual(mode, 0o600)

    def test_wrong_words_are_told(self):
        key, _ = self.new_box()
        large = self.folder / "large"
        large.write_bytes(bytes(65_389))
        for words, status, said in [
            (["box", "put", "--key", self.folder / "none.key", "--file", large], 66, "none.key"),
            (["box", "put", "--key", key, "--file", self.folder / "none"], 66, "none"),
            (["box", "put", "--key", key, "--file", large], 65, "large"),
            (["box", "get", "--key", key, "--id", "ab", "--out", "x"], 64, "--id 'ab'"),
            (["box", "get", "--key", key, "--id", "ab" * 32, "--out", "x"], 69, "no replica that was asked shows this item"),
            (["box", "list", "--key", key, "--node", "nobody"], 69, "expected"),
            (["box", "delete", "--key", key, "--id", "ab" * 32], 69, "no replica that was asked holds"),
        ]:
            def ask():
                found, output, errors = run(*words, "--control", self.net.control)
                self.assertEqual((found, output, errors.count("\n")), (status, "", 1), (words, errors))
                return said in errors

            # On a busy machine replicas may not answer in time at first.
            wait_until(ask)
        found, _, errors = run("box", "list", "--key", key, "--control", self.net.nodes[0].control)
        self.assertEqual(found, 69)
        self.assertIn("ask a client", errors)


class Files(unittest.TestCase):
    """A relay whose file is not as it should be."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="tunic-store-files-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        for name in ["one", "other"]:
            found, _, errors = run("network", "create", "--nodes", 1, "--local", "--shards", 64, "--dir", cls.folder / name)
            assert found == 0, errors

    def setUp(self):
        self.data = self.folder / "one" / "node-1"
        self.file = self.data / "swarm.sqlite"
        self.addCleanup(self.remove)

    def remove(self):
        for path in self.data.glob("swarm.*"):
            path.unlink()

    def words(self, network="one", data=None):
        return ["relay", "--network", self.folder / network / "network.json", "--data", data or self.data, "--listen",
                "127.0.0.1:0", "--set", "web.listen=off"]

    def start(self):
        process = Process([], self.words(), self.data)
        self.addCleanup(process.process.wait)
        self.addCleanup(process.process.kill)
        wait_until(lambda: process.status().get("store"), 60)
        return process

    def test_another_networks_file(self):
        def ends_in_order():
            process = self.start()
            process.process.terminate()
            self.assertEqual(process.process.wait(60), 0)
            return (self.data / "swarm.ended").exists()

        # On a busy machine the node may be told to end before its first look at the file is over.
        wait_until(ends_in_order, 60)
        other = self.folder / "other" / "node-1"
        shutil.copy(self.file, other / "swarm.sqlite")
        before = (other / "swarm.sqlite").read_bytes()
        found, output, errors = run(*self.words("other", other))
        self.assertEqual((found, output, errors.count("\n")), (65, "", 1), errors)
        self.assertIn(f"{other}/swarm.sqlite is not the swarm store of this network; move it away", errors)
        self.assertEqual((other / "swarm.sqlite").read_bytes(), before)
        (other / "swarm.sqlite").unlink()

    def test_a_damaged_file_is_set_aside(self):
        self.file.write_bytes(os.urandom(50_000))
        self.file.chmod(0o600)
        process = self.start()
        self.assertTrue((self.data / "swarm.sqlite.damaged").exists())
        self.assertIn("the swarm store was damaged", process.log.read_text())
        with sqlite3.connect(f"file:{self.file}?mode=ro", uri=True) as database:
            self.assertEqual(database.execute("SELECT count(*) FROM entries").fetchone(), (0,))

    def test_a_file_that_others_can_read(self):
        self.file.write_bytes(b"")
        self.file.chmod(0o644)
        found, _, errors = run(*self.words())
        self.assertEqual((found, errors.count("\n")), (77, 1), errors)
        self.assertIn("chmod 600", errors)

    def test_a_folder_in_its_place(self):
        self.file.mkdir()
        self.addCleanup(self.file.rmdir)
        found, _, errors = run(*self.words())
        self.assertEqual(errors.count("\n"), 1, errors)
        self.assertNotEqual(found, 0)
        self.assertIn("swarm.sqlite", errors)

    def test_two_processes(self):
        self.start()
        found, _, errors = run(*self.words())
        self.assertEqual((found, errors.count("\n")), (75, 1), errors)
        self.assertIn("in use by another tunic", errors)

    def test_a_quota_that_is_too_small(self):
        found, _, errors = run(*self.words(), "--set", "relay.store_quota=99 MB")
        self.assertEqual((found, errors.count("\n")), (64, 1), errors)
        self.assertIn("100 MB", errors)


if __name__ == "__main__":
    unittest.main()
