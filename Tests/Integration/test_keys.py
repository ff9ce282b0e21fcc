"""Keys on disk and in memory: sealed by a passphrase, out of dumps and swap, and nowhere else. And a clock that jumps.

The part about memory needs root, to run a relay as a user without rights and to read its memory as the same user.
"""

import ctypes
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from devnet import ask, binary, wait_until
from network import Network, free_port

PASSPHRASE = "correct horse battery staple"
NOBODY = 65534


def tunic(*arguments, **options):
    done = subprocess.run(
        [binary(), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, **options)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


class Wallets(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.secret = self.write("secret", PASSPHRASE + "\n")

    def write(self, name, text, mode=0o600):
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def test_k2_a_wallet_is_sealed_by_a_passphrase(self):
        wallet = self.folder / "wallet.key"
        status, account, err = tunic("wallet", "new", "--wallet", wallet, "--passphrase-file", self.secret)
        self.assertEqual((status, len(account)), (0, 64), err)
        self.assertEqual(oct(wallet.stat().st_mode & 0o777), "0o600")
        self.assertEqual(wallet.read_bytes()[:8], b"tunicid2")
        show = ("wallet", "show", "--wallet", wallet)
        self.assertEqual(tunic(*show, "--passphrase-file", self.secret)[:2], (0, account))
        # Through an open descriptor, which other processes cannot see.
        read, write = os.pipe()
        os.write(write, PASSPHRASE.encode())
        os.close(write)
        self.assertEqual(tunic(*show, "--passphrase-file", f"fd:{read}", pass_fds=[read])[:2], (0, account))
        os.close(read)
        # Each fault is reported in one line.
        for arguments, words in (
            ((), "is sealed by a passphrase; name a file that holds it with --passphrase-file"),
            (("--passphrase-file", self.write("wrong", "incorrect horse")), "the passphrase does not open"),
            (("--passphrase-file", self.write("empty", "\n")), "holds no passphrase"),
            (("--passphrase-file", self.write("open", PASSPHRASE, 0o644)), "chmod 600"),
            (("--passphrase-file", self.write("long", "x" * 1025)), "1024 bytes are allowed"),
            (("--passphrase-file", "fd:x"), "names no descriptor"),
            (("--passphrase-file", self.folder / "none"), "No such file"),
        ):
            status, out, err = tunic(*show, *arguments)
            self.assertNotEqual(status, 0, words)
            self.assertEqual((out, len(err.splitlines())), ("", 1), err)
            self.assertIn(words, err)
            self.assertNotIn("horse", err)

    def test_k2_a_passphrase_is_changed_and_taken_away(self):
        wallet, other = self.folder / "wallet.key", self.write("other", "another one")
        account = tunic("wallet", "new", "--wallet", wallet)[1]
        change = ("wallet", "passphrase", "--wallet", wallet)
        self.assertEqual(tunic(*change, "--new-passphrase-file", self.secret)[:2], (0, "sealed"))
        self.assertNotEqual(tunic(*change, "--new-passphrase-file", other)[0], 0)
        self.assertNotEqual(tunic(*change, "--passphrase-file", other, "--new-passphrase-file", other)[0], 0)
        self.assertEqual(
            tunic(*change, "--passphrase-file", self.secret, "--new-passphrase-file", other)[:2], (0, "sealed"))
        self.assertEqual(
            tunic("wallet", "show", "--wallet", wallet, "--passphrase-file", other)[:2], (0, account))
        self.assertEqual(tunic(*change, "--passphrase-file", other)[:2], (0, "no longer sealed"))
        self.assertEqual(tunic("wallet", "show", "--wallet", wallet)[:2], (0, account))
        self.assertEqual([path.name for path in self.folder.glob("*.new")], [])


class Nodes(unittest.TestCase):
    def setUp(self):
        self.network = Network([[f"127.0.0.1:{free_port()}"] for _ in range(3)], exits=0)
        self.network.__enter__()
        self.addCleanup(self.network.__exit__)
        self.node = self.network.folder / "net" / "node-1"
        self.secret = self.network.folder / "secret"
        self.secret.write_text(PASSPHRASE)
        self.secret.chmod(0o600)

    def command(self, *arguments):
        return [binary(), "relay", "--network", str(self.network.file), "--data", str(self.node), "--listen",
                self.network.addresses[0][0], *map(str, arguments)]

    def start(self, *arguments, **options):
        process = subprocess.Popen(
            self.command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            **options)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def status(self):
        try:
            return ask(str(self.node / "control.sock"), "status")
        except OSError:
            return None

    def test_k2_a_node_starts_by_a_passphrase_from_a_file_a_descriptor_or_systemd(self):
        key = self.node / "identity.key"
        plain = key.read_bytes()
        self.assertEqual(tunic("wallet", "passphrase", "--wallet", key, "--new-passphrase-file", self.secret)[0], 0)
        self.assertNotIn(plain[8:40], key.read_bytes())
        credentials = self.network.folder / "credentials"
        credentials.mkdir(0o700)
        shutil.copy(self.secret, credentials / "passphrase")
        (credentials / "passphrase").chmod(0o440)
        read, write = os.pipe()
        os.write(write, PASSPHRASE.encode() + b"\n")
        os.close(write)
        ids = []
        for arguments, options in (
            (("--passphrase-file", self.secret), {}),
            (("--passphrase-file", f"fd:{read}"), {"pass_fds": [read]}),
            ((), {"env": {**os.environ, "CREDENTIALS_DIRECTORY": str(credentials)}}),
        ):
            process = self.start(*arguments, **options)
            ids.append(wait_until(self.status)["node"])
            # The passphrase is neither in the arguments nor in the environment.
            for name in ("cmdline", "environ"):
                path = pathlib.Path(f"/proc/{process.pid}/{name}")
                self.assertNotIn(b"horse", path.read_bytes() if os.geteuid() == 0 or name == "cmdline" else b"")
            process.kill()
            process.wait()
        os.close(read)
        self.assertEqual(len(set(ids)), 1)
        # Without a passphrase, or with a wrong one, the relay ends with a message.
        wrong = self.network.folder / "wrong"
        wrong.write_text("incorrect")
        wrong.chmod(0o600)
        for arguments, words in (((), "--passphrase-file"), (("--passphrase-file", wrong), "does not open")):
            done = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=30)
            self.assertEqual(done.returncode, 77, done.stderr)
            self.assertIn(words, done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become another user")
    def test_k3_memory_is_neither_dumped_nor_swapped_nor_read(self):
        # The relay runs as a user without rights, because root can read all memory.
        self.network.folder.chmod(0o755)
        (self.network.folder / "net").chmod(0o755)
        self.network.file.chmod(0o644)
        for path in [self.node, *self.node.iterdir()]:
            os.chown(path, NOBODY, NOBODY)
        reachable = self.network.folder / "tunic"
        shutil.copy(binary(), reachable)
        command = self.command()
        command[0] = str(reachable)

        def unprivileged():
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)

        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=unprivileged)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_until(self.status)
        proc = pathlib.Path(f"/proc/{process.pid}")
        limits = next(line for line in (proc / "limits").read_text().splitlines() if line.startswith("Max core file size"))
        self.assertEqual(limits.split()[4:6], ["0", "0"])
        fields = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        self.assertEqual(int(fields["Uid"].split()[0]), NOBODY)
        # The node's key, and the link keys derived from it, are in pages that are not swapped.
        self.assertGreaterEqual(int(fields["VmLck"].split()[0]), 4)
        # The process is not dumpable: its own user can neither read its memory, attach to it nor see its descriptors.
        self.assertEqual((proc / "mem").stat().st_uid, 0)
        self.assertEqual(self.seen_by(unprivileged, process.pid), [])

    @staticmethod
    def seen_by(become, pid):
        """The parts of the process's memory that another process of that user can read; in a fork, as Python itself may not be allowed to."""
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                become()
                seen = []
                for name in ("mem", "maps", "environ", "auxv", "fd/0", "map_files"):
                    try:
                        path = f"/proc/{pid}/{name}"
                        os.listdir(path) if name == "map_files" else os.close(os.open(path, os.O_RDONLY))
                        seen.append(name)
                    except OSError:
                        pass
                # 16 is PTRACE_ATTACH.
                if ctypes.CDLL(None, use_errno=True).ptrace(16, pid, 0, 0) == 0:
                    seen.append("ptrace")
                os.write(write, " ".join(seen).encode() or b"-")
            finally:
                os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        with os.fdopen(read) as answer:
            text = answer.read()
        return [] if text == "-" else text.split() or ["nothing was looked at"]


# A library that sets a process' wall clock ahead by the seconds in the file that CLOCK_FILE names.
CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long ahead(void) {
    long seconds = 0;
    FILE *file = fopen(getenv("CLOCK_FILE"), "r");
    if (file) { if (fscanf(file, "%ld", &seconds) != 1) seconds = 0; fclose(file); }
    return seconds;
}
int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    if (clock == CLOCK_REALTIME) time->tv_sec += ahead();
    return result;
}
int gettimeofday(struct timeval *time, void *zone) {
    struct timespec now;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec; time->tv_usec = now.tv_nsec / 1000;
    return result;
}
time_t time(time_t *to) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (to) *to = now.tv_sec;
    return now.tv_sec;
}
"""


@unittest.skipUnless(shutil.which("cc"), "needs a C compiler for a clock that jumps")
class Clocks(unittest.TestCase):
    def test_k11_a_clock_that_jumps_ends_nothing(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        folder = pathlib.Path(temporary.name)
        (folder / "clock.c").write_text(CLOCK)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "clock.so", folder / "clock.c", "-ldl"], check=True)
        ahead = folder / "ahead"

        def jump(seconds):
            (folder / "new").write_text(str(seconds))
            (folder / "new").replace(ahead)

        jump(0)
        prefix = ["env", f"LD_PRELOAD={folder}/clock.so", f"CLOCK_FILE={ahead}"]
        with Network([[f"127.0.0.1:{free_port()}"] for _ in range(3)], exits=1) as network:
            network.start_nodes()
            wait_until(lambda: all(node.status()["descriptors"] == 3 for node in network.nodes))
            network.start_client(prefix=prefix)
            wait_until(lambda: network.client.status()["ready"])
            with Echo() as echo:
                host, _, port = network.client.status()["socks"][0].rpartition(":")
                stream = socks(host, int(port), echo.port)
                for seconds in (0, 86_400, -86_400, 10 * 365 * 86_400, 3_600, 0):
                    jump(seconds)
                    if seconds > 10**8:
                        # The times in the log show that the clock has jumped.
                        os.kill(network.client.process.pid, signal.SIGHUP)
                        year = str(time.gmtime(time.time() + seconds).tm_year)
                        wait_until(lambda: f"\n{year}-" in network.client.log.read_text())
                    # Open streams go on, and there are paths for new ones.
                    for _ in range(3):
                        stream.sendall(b"x" * 1_000)
                        received = b""
                        while len(received) < 1_000:
                            part = stream.recv(1_000)
                            self.assertTrue(part, f"closed when the clock was {seconds} s ahead")
                            received += part
                    wait_until(lambda: network.client.status()["ready"])
                    socks(host, int(port), echo.port).close()
                stream.close()


class Echo:
    """A TCP server that echoes."""

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    @staticmethod
    def serve(connection):
        with connection:
            try:
                while data := connection.recv(65_536):
                    connection.sendall(data)
            except OSError:
                pass

    def __exit__(self, *_):
        self.listener.close()


def socks(host, port, destination):
    """A connection through the client to a port of this machine."""
    stream = socket.create_connection((host, port), 20)
    stream.sendall(b"\x05\x01\x00")
    assert stream.recv(2) == b"\x05\x00"
    stream.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01" + destination.to_bytes(2, "big"))
    reply = b""
    while len(reply) < 10:
        part = stream.recv(10 - len(reply))
        assert part, reply
        reply += part
    assert reply[1] == 0, reply
    return stream


if __name__ == "__main__":
    unittest.main()
