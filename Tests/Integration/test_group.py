"""The control socket of a service, for members of its group."""

import contextlib
import ctypes
import grp
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from devnet import ask, binary, wait_until
from face import request
from network import Process
from test_command_line import run


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class Group(unittest.TestCase):
    """U5: members of a group can read another user's process and change nothing."""

    def setUp(self):
        kept = tempfile.TemporaryDirectory(prefix="tunic-test-")
        self.addCleanup(kept.cleanup)
        self.folder = pathlib.Path(kept.name)
        self.folder.chmod(0o755)
        # The socket's folder, with the owner and mode that systemd's RuntimeDirectory= gives it.
        self.group = grp.getgrnam("users")
        self.shut = self.folder / "run"
        self.shut.mkdir()
        os.chown(self.shut, 0, self.group.gr_gid)
        self.shut.chmod(0o750)
        run("network", "create", "--dir", self.folder / "net", "--nodes", 3, "--local")
        (self.folder / "data").mkdir(0o700)
        self.socket = self.shut / "control.sock"
        # The other user must be able to read and run the program.
        self.program = self.folder / "tunic"
        shutil.copy(binary(), self.program)
        self.program.chmod(0o755)

    def start(self, *more):
        process = Process([], ["client", "--network", self.folder / "net" / "network.json", "--data", self.folder / "data",
                               "--control", self.socket, "--socks", "127.0.0.1:0", "--set", "web.listen=off", *more], self.folder / "data")
        self.addCleanup(lambda: (process.process.kill(), process.process.wait()))
        wait_until(lambda: process.process.poll() is not None or self.socket.exists())
        return process

    def ask_as(self, *arguments, groups=(), user=61234):
        done = subprocess.run([self.program, *arguments, "--control", self.socket], capture_output=True, text=True, timeout=30,
                              user=user, group=user, extra_groups=groups, env={"HOME": "/nonexistent"}, cwd="/")
        return done.returncode, done.stdout, done.stderr

    def as_member(self, work, meanwhile=lambda: None):
        """The result of `work`, as JSON, in a process of a member of the group, which ends after `meanwhile`."""
        ends, until = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(until[1])
                os.setgroups([self.group.gr_gid])
                os.setgid(61234)
                os.setuid(61234)
                found = work()
                os.write(ends[1], json.dumps(found[0] if isinstance(found, tuple) else found).encode())
                os.close(ends[1])
                os.read(until[0], 1)
            finally:
                os._exit(0)
        os.close(ends[1])
        os.close(until[0])
        try:
            with os.fdopen(ends[0]) as answer:
                found = json.loads(answer.read())
            meanwhile()
            return found
        finally:
            os.close(until[1])
            os.waitpid(child, 0)

    def test_u5_members_look_and_change_nothing(self):
        self.start("--set", "control_group=users")
        self.assertEqual(self.socket.stat().st_mode & 0o777, 0o660)
        member = (self.group.gr_gid,)
        for words in [["status"], ["paths"], ["exits"], ["streams"], ["metrics"], ["top", "--once"]]:
            code, out, err = self.ask_as(*words, groups=member)
            self.assertIn(code, (0, 1), err)
            self.assertTrue(out.strip(), words)
        for words in [["newpath"], ["reload"], ["web"], ["maintenance", "end"]]:
            code, out, err = self.ask_as(*words, groups=member)
            self.assertEqual((code, out), (77, ""), words)
            self.assertIn("members of the group users may look", err)
        # The log may contain addresses, and a submission changes something.
        for command in ["log", "submit", "dryrun", "check"]:
            self.assertIs(self.as_member(lambda: request(str(self.socket), command))["denied"], True)
        # Root may do everything.
        self.assertEqual(run("newpath", "--control", self.socket)[0], 0)
        # A user outside the group is told which group to join.
        code, _, err = self.ask_as("status")
        self.assertEqual(code, 77, err)
        for words in ("permission denied", "join the group users", "sudo tunic"):
            self.assertIn(words, err)
        # The same if the folder is open to all.
        self.shut.chmod(0o755)
        code, _, err = self.ask_as("status")
        self.assertEqual(code, 77, err)
        self.assertIn("join the group users", err)
        # If the socket is open to all, the process itself refuses.
        self.socket.chmod(0o666)
        code, _, err = self.ask_as("status")
        self.assertEqual(code, 77, err)
        self.assertIn("only root and the user who runs the process", err)

    def test_u5_members_leave_room_for_the_owner(self):
        self.start("--set", "control_group=users")

        def hold():
            held = [socket.socket(socket.AF_UNIX) for _ in range(16)]
            for one in held:
                one.connect(str(self.socket))
            closed, end = [], time.monotonic() + 60
            while len(closed) < 8 and time.monotonic() < end:
                closed = select.select(held, [], [], 0.1)[0]
            return len(closed), held

        def ask():
            self.assertIn(run("status", "--control", self.socket)[0], (0, 1))

        self.assertEqual(self.as_member(hold, ask), 8)

    def test_u5_as_a_service_in_a_user_namespace(self):
        """As with systemd's Group= and PrivateUsers=: foreign users are one number, and the process may not change owners."""
        owner, group = 61235, self.group.gr_gid
        data = self.folder / "data"
        os.chown(data, owner, group)
        os.chown(self.shut, owner, group)
        network = self.folder / "network.json"
        shutil.copy(self.folder / "net" / "network.json", network)
        network.chmod(0o644)
        log = open(self.folder / "log", "w+")
        self.addCleanup(log.close)
        ready, mapped = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(mapped[1])
                if ctypes.CDLL(None).unshare(0x1000_0000):  # CLONE_NEWUSER
                    os._exit(99)
                os.write(ready[1], b"x")
                os.read(mapped[0], 1)
                os.setgroups([])
                os.setgid(group)
                os.setuid(owner)
                os.umask(0o077)
                os.chdir("/")
                for number in range(3):
                    os.dup2(log.fileno(), number)
                os.execv(self.program, [str(self.program), "client", "--network", str(network), "--data", str(data), "--control",
                                        str(self.socket), "--socks", "127.0.0.1:0", "--set", "web.listen=off", "--set",
                                        "control_group=users"])
            finally:
                os._exit(98)
        os.close(ready[1])
        os.close(mapped[0])
        self.addCleanup(os.close, ready[0])
        if not os.read(ready[0], 1):
            os.close(mapped[1])
            os.waitpid(child, 0)
            self.skipTest("no user namespace can be made here")
        for name, own in (("uid_map", owner), ("gid_map", group)):
            pathlib.Path(f"/proc/{child}/{name}").write_text(f"0 0 1\n{own} {own} 1\n")
        os.close(mapped[1])
        try:
            wait_until(lambda: os.waitpid(child, os.WNOHANG)[0] or self.socket.exists() and self.socket.stat().st_mode & 0o777 == 0o660)
            log.seek(0)
            self.assertTrue(self.socket.exists(), log.read())
            self.assertEqual((self.socket.stat().st_uid, self.socket.stat().st_gid), (owner, group))
            self.assertEqual(run("newpath", "--control", self.socket)[0], 0)
            self.assertEqual(self.ask_as("newpath", user=owner)[0], 0)
            self.assertIn(self.ask_as("status", groups=(group,))[0], (0, 1))
            self.assertEqual(self.ask_as("newpath", groups=(group,))[0], 77)
            self.socket.chmod(0o666)
            self.shut.chmod(0o755)
            self.assertEqual(self.ask_as("status")[0], 77)
        finally:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)

    def test_u5_a_folder_that_keeps_the_group_out_is_said(self):
        self.shut.chmod(0o700)
        process = self.start("--set", "control_group=users")
        wait_until(lambda: "cannot enter the folder" in process.log.read_text())
        code, _, err = self.ask_as("status", groups=(self.group.gr_gid,))
        self.assertEqual(code, 77, err)
        self.assertIn("permission denied; only root and the user who runs the process may ask", err)

    def test_u5_a_group_that_is_not_there_is_a_mistake(self):
        process = self.start("--set", "control_group=no-such-group")
        self.assertEqual(process.process.wait(60), 64)
        self.assertIn("there is no group no-such-group; make it: sudo groupadd --system no-such-group", process.log.read_text())


if __name__ == "__main__":
    unittest.main()
