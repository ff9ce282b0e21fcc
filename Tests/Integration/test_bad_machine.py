"""Full or read-only disks and wrong clocks: one line names the file and the remedy, and nothing breaks."""

import glob
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import unittest

from devnet import answers, ask, binary, wait_until
from network import Network, Process, free_port
from peers import Peer, digest, download


class MountTest(unittest.TestCase):
    """Each test has a mount namespace, in which the folder `disk` is a separate disk."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="tunic-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.disk = self.folder / "disk"
        self.disk.mkdir(0o700)
        try:
            holder = subprocess.Popen(
                ["unshare", "-m", "sh", "-c", "echo ready && exec sleep 600"], stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True)
        except FileNotFoundError:
            self.skipTest("no unshare")
        self.addCleanup(holder.stdout.close)
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        if holder.stdout.readline() != "ready\n":
            self.skipTest("no mount namespace can be made here")
        self.prefix = ["nsenter", "-t", str(holder.pid), "-m", "-r", "-w"]
        if self.inside("mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "none", self.disk).returncode != 0:
            self.skipTest("nothing can be mounted here")
        code, _, err = self.tunic("network", "create", "--dir", self.folder / "net", "--nodes", 3, "--local")
        self.assertEqual(code, 0, err)
        self.network = self.folder / "net" / "network.json"

    def inside(self, *command, timeout=60):
        return subprocess.run(
            [*self.prefix, *map(str, command)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)

    def tunic(self, *arguments):
        result = self.inside(binary(), *arguments)
        return result.returncode, result.stdout, result.stderr

    def files(self):
        """The files on the disk."""
        return sorted(self.inside("find", self.disk, "-mindepth", "1").stdout.split())

    def assert_fails(self, status, words, *arguments):
        code, out, err = self.tunic(*arguments)
        self.assertEqual((code, out), (status, ""), err)
        self.assertEqual(err.count("\n"), 1, err)
        for word in words:
            self.assertIn(str(word), err)


class NoProc(MountTest):
    def test_r11_without_proc_the_arguments_count(self):
        code, _, err = self.tunic("network", "no-such-command")
        self.assertEqual(self.inside("umount", "-l", "/proc").returncode, 0)
        without = self.tunic("network", "no-such-command")
        self.assertEqual((code, without[0]), (64, 64))
        self.assertEqual(without[2], err)
        self.assertEqual(self.tunic("version")[1].split()[0], "tunic")
        process = subprocess.Popen(
            [*self.prefix, binary(), "client", "--network", self.network, "--data", self.folder / "client", "--socks", "127.0.0.1:0"],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        # What is not known about users is said first.
        self.assertIn("/proc/self/uid_map cannot be read", process.stderr.readline())
        self.assertTrue(any("started" in line for line in process.stderr), "it did not start")

    def test_r11_without_proc_devnet_and_bench_start_themselves(self):
        self.assertEqual(self.inside("umount", "-l", "/proc").returncode, 0)
        code, out, err = self.tunic("devnet", "--socks", "127.0.0.1:0", "--", "sh", "-c", "echo $TUNIC_SOCKS")
        self.assertEqual(code, 0, err)
        self.assertIn("127.0.0.1:", out)
        # Without /proc some values are unknown, and the report leaves them out.
        code, out, err = self.tunic("bench", "--seconds", "0.3", "--repeat", "1", "--streams", "1", "--measure", "throughput,latency")
        self.assertEqual(code, 0, err)
        self.assertIn("1 stream up", out)
        self.assertNotIn("guard", out)
        self.assertNotIn("Resident memory", out)


@unittest.skipUnless(shutil.which("readelf"), "no readelf")
class Linking(unittest.TestCase):
    def test_r10_libraries_are_the_systems_and_are_bound_at_the_start(self):
        """A library beside the program is not used, and the table of bound symbols is read-only from the start on."""
        if "debug" in binary():
            self.skipTest("only the release binary is linked like that")
        text = subprocess.run(["readelf", "--dynamic", "--wide", binary()], check=True, capture_output=True, text=True).stdout
        self.assertNotIn("RUNPATH", text)
        self.assertNotIn("RPATH", text)
        self.assertIn("NOW", text)


class FullDisk(MountTest):
    def resize(self, size):
        self.assertEqual(self.inside("mount", "-o", f"remount,size={size}", self.disk).returncode, 0)

    def fill(self):
        self.inside("dd", "if=/dev/zero", f"of={self.disk}/big", "bs=4k")

    def test_a_network_is_made_whole_or_not_at_all(self):
        made = self.disk / "net"
        self.assert_fails(74, [made, "full"], "network", "create", "--dir", made, "--nodes", 60, "--local")
        self.assertEqual(self.files(), [])
        self.fill()
        self.assert_fails(74, [made, "full"], "devnet", "--dir", made, "--socks", "127.0.0.1:0")
        self.assertEqual(self.files(), [f"{self.disk}/big"])

    def test_a_client_does_not_begin_and_begins_when_there_is_room(self):
        client = ["client", "--network", self.network, "--data", self.disk, "--socks", "127.0.0.1:0"]
        for size in ("4k", "8k", "16k", "32k"):
            self.resize(size)
            self.assert_fails(74, [self.disk, "full"], *client)
        self.resize("4m")
        process = subprocess.Popen([*self.prefix, binary(), *map(str, client)], stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertTrue(any("started" in line for line in process.stderr), "it did not start")

    def test_a_client_whose_disk_fills_up_goes_on_and_comes_back(self):
        self.resize("4m")
        with Peer() as peer, Network([[f"127.0.0.1:{free_port()}"] for _ in range(4)], exits=2) as net:
            net.start_nodes()
            wait_until(lambda: all(node.status()["descriptors"] == 4 for node in net.nodes))

            def start():
                # The control socket can be reached from outside the namespace.
                control = self.folder / "control.sock"
                log = open(self.folder / "log", "wb")
                with log:
                    process = subprocess.Popen(
                        [*self.prefix, binary(), "client", "--network", str(net.file), "--data", str(self.disk), "--control",
                         str(control), "--socks", f"127.0.0.1:{port}"], stdin=subprocess.DEVNULL, stderr=log)
                self.addCleanup(process.wait)
                self.addCleanup(process.kill)
                wait_until(lambda: self.folder.joinpath("log").read_bytes().count(b"notice ready"))
                return process

            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            first = start()
            self.fill()
            for _ in range(3):
                self.assertEqual(download(("127.0.0.1", port), peer.port, 100_000), digest(100_000))
            # The client cannot write to its disk, and goes on.
            net.nodes[0].process.kill()
            net.nodes[0].process.wait()
            self.assertIsNone(first.poll())
            self.assertEqual(download(("127.0.0.1", port), peer.port, 100_000), digest(100_000))
            first.kill()
            first.wait()
            self.inside("rm", f"{self.disk}/big")
            second = start()
            self.assertEqual(download(("127.0.0.1", port), peer.port, 100_000), digest(100_000))
            self.assertIsNone(second.poll())

    def test_a_relay_whose_disk_fills_up_says_so_and_comes_back(self):
        self.resize("4m")
        with Network([[f"127.0.0.1:{free_port()}"] for _ in range(3)]) as net:
            # The first node's folder is on the disk. Its control socket can be reached from outside the namespace.
            self.inside("cp", "-a", net.folder / "net" / "node-1", self.disk / "node")
            control = self.folder / "control.sock"
            relay = subprocess.Popen(
                [*self.prefix, binary(), "relay", "--network", str(net.file), "--data", str(self.disk / "node"), "--control",
                 str(control), "--listen", net.addresses[0][0]], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            self.addCleanup(relay.stderr.close)
            self.addCleanup(relay.wait)
            self.addCleanup(relay.kill)
            wait_until(lambda: answers(str(control)))
            self.fill()
            self.start_others(net)

            def problem():
                return ask(str(control), "status").get("problem") or ""

            wait_until(lambda: "full" in problem())
            wait_until(lambda: "cannot be written to" in relay.stderr.readline())
            self.assertTrue(ask(str(control), "status")["ready"], "it serves all the same")
            self.inside("rm", f"{self.disk}/big")
            wait_until(lambda: "full" not in problem())
            self.assertIsNone(relay.poll())

    @staticmethod
    def start_others(net):
        """Starts all nodes except the first."""
        for number, addresses in list(enumerate(net.addresses, 1))[1:]:
            folder = net.folder / "net" / f"node-{number}"
            net.nodes.append(Process(
                [], ["relay", "--network", net.file, "--data", folder, "--listen", ",".join(addresses)], folder))


class ReadOnlyDisk(MountTest):
    def test_every_command_names_what_cannot_be_written(self):
        node = self.disk / "node-1"
        self.assertEqual(self.inside("cp", "-a", self.network.parent / "node-1", node).returncode, 0)
        self.assertEqual(self.inside("mount", "-o", "remount,ro", self.disk).returncode, 0)
        before = self.files()
        for words, arguments in [
            ([node, "read-only"], ["client", "--network", self.network, "--data", node, "--socks", "127.0.0.1:0"]),
            ([node, "read-only"], ["relay", "--network", self.network, "--data", node, "--listen", "127.0.0.1:0"]),
            ([self.disk / "new", "read-only"], ["client", "--network", self.network, "--data", self.disk / "new", "--socks", "127.0.0.1:0"]),
            ([self.disk / "new", "can be written"], ["network", "create", "--dir", self.disk / "new", "--local"]),
            ([self.disk / "new", "can be written"], ["devnet", "--dir", self.disk / "new", "--socks", "127.0.0.1:0"]),
        ]:
            with self.subTest(arguments=arguments):
                self.assert_fails(77, words, *arguments)
        self.assertEqual(self.files(), before)


def faketime(offset):
    """A command prefix that shifts a program's wall clock by `offset`; None without libfaketime."""
    library = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    if not library:
        return None
    # libfaketime changes the environment of the first process that loads it. Swift finds its arguments by the
    # environment's place in memory, so the first process is another program.
    return ["env", f"LD_PRELOAD={library[0]}", f"FAKETIME={offset}", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1",
            "nice", "-n", "0"]


def forget(process):
    """Removes the shared memory that libfaketime leaves for a process."""
    for name in ("faketime_shm", "sem.faketime_sem"):
        pathlib.Path(f"/dev/shm/{name}_{process.pid}").unlink(missing_ok=True)


@unittest.skipUnless(faketime("+1h"), "no libfaketime")
class WrongClock(unittest.TestCase):
    def test_an_hour_behind_a_new_network(self):
        with Network([[f"127.0.0.1:{free_port()}"] for _ in range(3)]) as net:
            for arguments in (["client", "--data", net.folder / "client", "--socks", "127.0.0.1:0"],
                              ["relay", "--data", net.folder / "net" / "node-1", "--listen", "127.0.0.1:0"]):
                process = subprocess.Popen(
                    [*faketime("-1h"), binary(), *map(str, arguments), "--network", net.file], stderr=subprocess.PIPE, text=True)
                error = process.communicate(timeout=30)[1]
                forget(process)
                self.assertEqual(process.returncode, 78, error)
                self.assertEqual(error.count("\n"), 1, error)
                for word in (str(net.file), "future", "clock"):
                    self.assertIn(word, error)
            self.assertFalse((net.folder / "client").exists())

    def test_r12_past_the_year_2554(self):
        with Network([[f"127.0.0.1:{free_port()}"] for _ in range(3)]) as net:
            process = subprocess.Popen(
                [*faketime("+600y"), binary(), "client", "--data", str(net.folder / "client"), "--socks", "127.0.0.1:0", "--network",
                 str(net.file)], stderr=subprocess.PIPE, text=True)
            error = process.communicate(timeout=30)[1]
            forget(process)
            self.assertEqual(process.returncode, 78, error)
            self.assertIn("clock is past the year 2554", error)

    def test_a_node_an_hour_ahead_says_so_and_a_client_takes_the_networks_time(self):
        addresses = [[f"127.0.0.1:{free_port()}"] for _ in range(5)]
        with Peer() as peer, Network(addresses, exits=2, prefixes={0: faketime("+1h")}) as net:
            net.start_nodes()
            wait_until(lambda: "clock" in (net.nodes[0].status().get("problem") or ""))
            problem = net.nodes[0].status()["problem"]
            self.assertIn("ahead", problem)
            self.assertRegex(problem, "(59|60) minutes")
            wait_until(lambda: "clock" in net.nodes[0].log.read_text())
            # The other nodes work without it.
            wait_until(lambda: all(node.status()["descriptors"] == 4 for node in net.nodes[1:]))
            net.start_client(prefix=faketime("+1h"))
            wait_until(lambda: net.client.status()["ready"])
            host, port = net.client.status()["socks"][0].rsplit(":", 1)
            self.assertEqual(download((host, int(port)), peer.port, 1_000_000), digest(1_000_000))
            for process in (net.nodes[0], net.client):
                self.addCleanup(forget, process.process)


if __name__ == "__main__":
    unittest.main()
