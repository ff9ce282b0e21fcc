"""A whole network of processes on this machine, for tests.

    from devnet import Devnet
    with Devnet(nodes=6, exits=2) as net:
        net.socks        # ("127.0.0.1", 40123)
        net.nodes[0].pid
        net.paths()      # what `tunic paths --json` prints

The binary is $TUNIC, or .build/release/tunic, or .build/debug/tunic.
"""

import json
import os
import pathlib
import resource
import select
import signal
import socket
import subprocess
import time
import unittest
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Variables that set the amount of work of a test.
AMOUNTS = {"TUNIC", "TUNIC_ASSOCIATIONS", "TUNIC_IDLE_SECONDS", "TUNIC_LIBRARY", "TUNIC_RATE_SECONDS", "TUNIC_SILENT_APPS", "TUNIC_TEST_WORKERS",
           "TUNIC_WATCHING"}


def clean_environment():
    """Removes the user's settings of Tunic and of proxies from the environment, so that no test process uses them."""
    for name in list(os.environ):
        if name.startswith("TUNIC_") and name not in AMOUNTS or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ.update(TUNIC_CONFIG="/dev/null", GIT_CONFIG_GLOBAL="/dev/null")


clean_environment()


def binary():
    """The path of the program under test."""
    given = os.environ.get("TUNIC")
    if given:
        return given
    for kind in ("release", "debug"):
        path = ROOT / ".build" / kind / "tunic"
        if path.exists():
            return str(path)
    raise FileNotFoundError("no tunic: set TUNIC, or run swift build -c release --static-swift-stdlib --product tunic")


def ask(control, command, timeout=60, argument=None):
    """The reply of the control socket at `control`."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(control)
        request = {"command": command} if argument is None else {"command": command, "argument": argument}
        connection.sendall(json.dumps(request).encode() + b"\n")
        line = b""
        while not line.endswith(b"\n"):
            part = connection.recv(65536)
            if not part:
                raise ConnectionError(f"{control} closed the connection")
            line += part
    reply = json.loads(line)
    if "error" in reply:
        raise RuntimeError(reply["error"])
    return reply


def answers(control):
    """Whether a process answers at `control`: the socket exists a moment before its process listens on it."""
    try:
        return bool(ask(control, "status"))
    except OSError:
        return False


def is_running(pid):
    """Whether the process runs; a process that has ended and was not waited for does not."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] not in ("Z", "X")


def resident(pid):
    """The resident memory of a process, in bytes."""
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has no memory figure")


def wait_until(condition, timeout=60, interval=0.02):
    """Waits until `condition()` is true and returns its value; raises TimeoutError after `timeout` seconds.

    The limit is a guard against hanging on a machine that is busy with other things. The benchmark measures speed."""
    end = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise TimeoutError(f"not true within {timeout} s")
        time.sleep(interval)


def allow_descriptors(test, count):
    """Raises this process's limit of open descriptors to `count` while `test`, a test or a class, runs; skips it if that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise unittest.SkipTest(f"{count} descriptors are needed, and {hard} are allowed")
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    (test.addClassCleanup if isinstance(test, type) else test.addCleanup)(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))


@dataclass
class Node:
    """A node of a network."""

    id: str
    pid: int
    address: str
    exit: bool
    control: str

    def status(self):
        return ask(self.control, "status")

    def kill(self, number=signal.SIGKILL):
        os.kill(self.pid, number)

    @property
    def is_running(self):
        return is_running(self.pid)


class Devnet:
    """Runs `tunic devnet --json` while the context is open, and ends it by its process id."""

    def __init__(self, nodes=6, exits=2, hops=3, timeout=120, arguments=()):
        self.command = [
            binary(), "devnet", "--json", "--socks", "127.0.0.1:0", "--nodes", str(nodes), "--exits", str(exits),
            "--hops", str(hops), *arguments,
        ]
        # As in the unit tests: how many workers the nodes have, unless the test says it.
        if "TUNIC_TEST_WORKERS" in os.environ and "--workers" not in arguments:
            self.command += ["--workers", os.environ["TUNIC_TEST_WORKERS"]]
        self.timeout = timeout

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        try:
            line = self._first_line()
        except BaseException:
            self.close()
            raise
        value = json.loads(line)
        host, _, port = value["socks"].rpartition(":")
        self.socks = (host, int(port))
        self.control = value["control"]
        self.client_pid = value["client"]["pid"]
        self.nodes = [Node(**node) for node in value["nodes"]]
        return self

    def __exit__(self, *_):
        self.close()

    def _first_line(self):
        line = b""
        end = time.monotonic() + self.timeout
        while not line.endswith(b"\n"):
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError(f"no line from tunic devnet within {self.timeout} s")
            part = os.read(self.process.stdout.fileno(), 65536)
            if not part:
                raise RuntimeError(f"tunic devnet ended with status {self.process.wait(5)}")
            line += part
        return line

    def close(self):
        """Ends the network, and kills it if it does not end by itself."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()

    @property
    def pids(self):
        """The processes of the client and of all nodes."""
        return [self.client_pid] + [node.pid for node in self.nodes]

    def status(self):
        return ask(self.control, "status")

    def paths(self):
        return ask(self.control, "paths")["paths"]

    def node(self, id):
        """The node with that id."""
        return next(node for node in self.nodes if node.id == id)

    def connect(self, host, port, timeout=60, user=None):
        """A TCP connection to `host` (a name or an address) through the network; raises OSError with the reply code."""
        connection = socket.create_connection(self.socks, timeout)
        try:
            if user is None:
                connection.sendall(b"\x05\x01\x00")
                self._expect(connection, b"\x05\x00")
            else:
                name = user.encode()
                connection.sendall(b"\x05\x01\x02")
                self._expect(connection, b"\x05\x02")
                connection.sendall(b"\x01" + bytes([len(name)]) + name + b"\x01x")
                self._expect(connection, b"\x01\x00")
            connection.sendall(b"\x05\x01\x00" + self._destination(host) + port.to_bytes(2, "big"))
            reply = self._read(connection, 4)
            if reply[1] != 0:
                raise OSError(reply[1], f"SOCKS5 reply {reply[1]}")
            size = {1: 4, 4: 16}.get(reply[3]) or self._read(connection, 1)[0]
            self._read(connection, size + 2)
            return connection
        except BaseException:
            connection.close()
            raise

    @staticmethod
    def _destination(host):
        for kind, family in ((1, socket.AF_INET), (4, socket.AF_INET6)):
            try:
                return bytes([kind]) + socket.inet_pton(family, host)
            except OSError:
                pass
        return b"\x03" + bytes([len(host)]) + host.encode()

    @staticmethod
    def _read(connection, count):
        data = b""
        while len(data) < count:
            part = connection.recv(count - len(data))
            if not part:
                raise ConnectionError("the proxy closed the connection")
            data += part
        return data

    @classmethod
    def _expect(cls, connection, data):
        found = cls._read(connection, len(data))
        if found != data:
            raise ConnectionError(f"the proxy answered {found!r}, not {data!r}")
