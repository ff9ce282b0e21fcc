"""A network that has lost nodes gets a new network file from the remaining nodes (docs/operator-guide.md)."""

import json
import pathlib
import shutil
import subprocess
import unittest

from devnet import binary, wait_until
from network import Network, Process, free_port

GONE = (3, 4, 5)
LEFT = (0, 1, 2, 6)


def tunic(*arguments):
    """Exit status, standard output and standard error of a command."""
    done = subprocess.run(
        [binary(), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


class RecoveryTest(unittest.TestCase):
    def test_s25_a_new_network_file_for_the_nodes_that_are_left(self):
        with Network([[f"127.0.0.1:{free_port()}"] for _ in range(7)]) as net:
            folders = [net.folder / "net" / f"node-{number + 1}" for number in range(7)]
            old = json.loads(net.file.read_text())
            ids = [node["id"] for node in old["bootstrap"]]
            draft = net.folder / "recovery.json"
            without = [part for number in GONE for part in ("--without", ids[number])]
            recover = ["network", "recover", "--network", net.file, "--data", folders[0]]
            code, out, error = tunic(*recover, *without, "--output", draft)
            self.assertEqual(code, 0, error)
            self.assertIn("3 of them must sign", out)
            new = json.loads(draft.read_text())
            self.assertEqual(new["id"], old["id"])
            self.assertEqual(new["ledger"], old["ledger"])
            self.assertEqual([node["id"] for node in new["bootstrap"]], [ids[number] for number in LEFT])

            # An existing draft is not overwritten, and a height that is not new is refused.
            self.assertNotEqual(tunic(*recover, *without, "--output", draft)[0], 0)
            code, _, error = tunic(*recover, "--height", 1, "--output", net.folder / "low.json")
            self.assertNotEqual(code, 0)
            self.assertIn("above 1", error)

            # A draft is not a network file until enough nodes have signed it.
            code, _, error = tunic("client", "--network", draft, "--socks", "127.0.0.1:0", "--data", net.folder / "none")
            self.assertNotEqual(code, 0)
            self.assertIn("does not verify", error)

            # Copies are signed by two operators and merged. A node that is gone cannot sign.
            copy = net.folder / "copy.json"
            shutil.copy(draft, copy)
            sign = ["network", "sign", "--network", net.file, "--data"]
            code, out, error = tunic(*sign, folders[0], draft)
            self.assertEqual((code, "1 of 4 nodes" in out), (0, True), (out, error))
            fingerprint = next(line for line in out.splitlines() if line.startswith("fingerprint without signatures: "))
            for number in GONE:
                self.assertIn(ids[number], out)

            # The draft's sender has changed values that no signature covers.
            changed = net.folder / "changed.json"
            value = json.loads(draft.read_text()) | {"operatorSharePercent": 100, "authorityThreshold": 1}
            value["authorities"] = value["authorities"][:1]
            changed.write_text(json.dumps(value))
            code, out, error = tunic(*sign, folders[1], changed)
            self.assertNotEqual(code, 0)
            self.assertIn("operatorSharePercent, authorities, authorityThreshold", error)
            self.assertNotIn(fingerprint, out)
            self.assertEqual(json.loads(changed.read_text()), value)
            code, out, error = tunic(*sign, folders[1], copy, changed)
            self.assertNotEqual(code, 0)
            self.assertIn("not a copy of the draft: it has another value of operatorSharePercent", error)

            # A service's data folder is a symbolic link.
            link = net.folder / "link"
            link.symlink_to(folders[1])
            code, out, error = tunic(*sign, link, copy)
            self.assertEqual((code, "1 of 4 nodes" in out), (0, True), (out, error))
            self.assertIn(fingerprint, out)
            self.assertNotIn("other values", out)
            self.assertNotEqual(tunic(*sign, folders[GONE[0]], copy)[0], 0)
            code, out, error = tunic(*sign, folders[6], draft, copy)
            self.assertEqual((code, "3 of 4 nodes" in out, "complete" in out), (0, True, True), (out, error))

            # A node that has signed the draft signs no other snapshot of that height.
            other = net.folder / "other.json"
            code, _, error = tunic(*recover, *without[:2], "--height", 2, "--output", other)
            self.assertEqual(code, 0, error)
            code, _, error = tunic(*sign, folders[0], other)
            self.assertNotEqual(code, 0)
            self.assertIn("--height 3", error)
            other.unlink()
            # The next draft of this folder gets a greater height by itself.
            zero = net.folder / "zero"
            zero.symlink_to(folders[0])
            code, out, error = tunic(*recover[:-1], zero, *without[:2], "--output", other)
            self.assertEqual((code, "at height 3" in out), (0, True), (out, error))

            # A height this far ahead would rule out all later snapshots.
            far = net.folder / "far.json"
            code, _, error = tunic(*recover, *without, "--height", 1 << 33, "--output", far)
            self.assertEqual(code, 0, error)
            before = far.read_bytes()
            code, _, error = tunic(*sign, folders[2], far)
            self.assertEqual(code, 65, error)
            self.assertIn(f"height is {1 << 33}", error)
            self.assertEqual(far.read_bytes(), before)

            # The remaining nodes and a client go on with the new file.
            for number in LEFT:
                exit = ["--exit", "--exit-allow", "127.0.0.0/8"] if number == 6 else []
                listen = net.addresses[number][0]
                net.nodes.append(
                    Process([], ["relay", "--network", draft, "--data", folders[number], "--listen", listen, *exit],
                            pathlib.Path(folders[number])))
            net.file = draft
            wait_until(lambda: all(node.status()["descriptors"] == len(LEFT) for node in net.nodes), 60)
            self.assertEqual({node.status()["snapshot"]["height"] for node in net.nodes}, {2})
            net.start_client()
            wait_until(lambda: net.client.status()["ready"], 60)


if __name__ == "__main__":
    unittest.main()
