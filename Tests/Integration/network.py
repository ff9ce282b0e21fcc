"""A network whose nodes are started one by one, each at addresses of its own, as people start them.

    with Network([["[::1]:7100"], ["127.0.0.1:7100", "[::1]:7100"]], exits=1) as net:
        net.start()
        net.client.status()
"""

import contextlib
import os
import pathlib
import random
import socket
import subprocess
import tempfile

from devnet import ask, binary, wait_until


def has_ipv6():
    """Whether this machine has an IPv6 loopback address."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as free:
            free.bind(("::1", 0))
        return True
    except OSError:
        return False


def free_port():
    """A port that is free on 127.0.0.1 and on ::1, for TCP and for UDP.

    It lies below the range from which the system takes ports for sockets without one, so no other process gets it while its user
    is not yet there."""
    addresses = [(socket.AF_INET, "127.0.0.1")] + ([(socket.AF_INET6, "::1")] if has_ipv6() else [])
    while True:
        port = random.randrange(10_000, 32_000)
        with contextlib.ExitStack() as stack:
            try:
                for family, address in addresses:
                    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                        stack.enter_context(socket.socket(family, kind)).bind((address, port))
                return port
            except OSError:
                continue


class Process:
    """A client or a relay."""

    def __init__(self, prefix, arguments, folder, environment=None):
        self.control = str(folder / "control.sock")
        self.log = pathlib.Path(f"{folder}.log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, binary(), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                env={**os.environ, **(environment or {})})

    def status(self):
        """Its report; not ready and without descriptors until it answers."""
        if self.process.poll() is not None:
            raise RuntimeError(f"ended with status {self.process.returncode}: {self.log.read_text()}")
        try:
            return ask(self.control, "status")
        except OSError:
            return {"ready": False, "descriptors": 0}

    def paths(self):
        return ask(self.control, "paths")["paths"]


class Network:
    """A network of nodes at `addresses`, a list of announced addresses for each node; the last `exits` of them are exits.

    `listen` has the listen addresses, if they are not the announced ones. All processes run with `prefix`, a command that
    starts others, except those for which `prefixes` has another one, by number. The exits get `exit_options`, the client
    `client_options`. An exit allows the loopback, or the ranges that `exit_ranges` has for its number. Without `local` the
    addresses are public ones, and the limits are the defaults."""

    def __init__(self, addresses, exits=1, listen=None, prefix=(), prefixes=None, socks="127.0.0.1:0", packet_size=None,
                 exit_options=(), client_options=(), exit_ranges=None, local=True):
        self.local = local
        self.exit_options, self.client_options = list(exit_options), list(client_options)
        self.addresses, self.exits, self.prefix, self.socks = addresses, exits, list(prefix), socks
        self.prefixes = prefixes or {}
        self.exit_ranges = exit_ranges or {}
        self.listen = listen or addresses
        self.packet_size = packet_size

    def __enter__(self):
        self.kept = tempfile.TemporaryDirectory(prefix="tunic-test-")
        self.folder = pathlib.Path(self.kept.name)
        self.file = self.folder / "net" / "network.json"
        size = ["--packet-size", str(self.packet_size)] if self.packet_size else []
        subprocess.run(
            [binary(), "network", "create", "--dir", self.folder / "net", *(["--local"] if self.local else []), "--exits",
             str(self.exits), *size,
             *(part for addresses in self.addresses for part in ("--address", ",".join(addresses)))],
            check=True, stdout=subprocess.DEVNULL)
        self.nodes = []
        self.client = None
        return self

    def __exit__(self, *_):
        for process in [self.client, *self.nodes]:
            if process:
                process.process.kill()
                process.process.wait()
        self.kept.cleanup()

    def start(self, hops=3):
        """Starts all nodes, waits until they know each other, and then starts the client and waits for a path."""
        self.start_nodes()
        wait_until(lambda: all(node.status()["descriptors"] == len(self.nodes) for node in self.nodes))
        self.start_client(hops)
        wait_until(lambda: self.client.status()["ready"])
        return self.client.status()["socks"][0]

    def start_nodes(self):
        """Starts all nodes."""
        count = len(self.addresses)
        for number, (addresses, listen) in enumerate(zip(self.addresses, self.listen)):
            folder = self.folder / "net" / f"node-{number + 1}"
            arguments = ["relay", "--network", self.file, "--data", folder, "--listen", ",".join(listen)]
            if addresses != listen:
                arguments += ["--public", ",".join(addresses)]
            if number >= count - self.exits:
                ranges = self.exit_ranges.get(number, ["127.0.0.0/8", "::1/128"])
                arguments += ["--exit", *(part for range in ranges for part in ("--exit-allow", range)), *self.exit_options]
            self.nodes.append(Process(self.prefixes.get(number, self.prefix), arguments, folder))

    def start_client(self, hops=3, prefix=None, folder=None):
        """Starts the client, with a separate data folder."""
        if folder is None:
            folder = self.folder / "client"
            folder.mkdir(0o700)
        self.client = Process(
            self.prefix if prefix is None else prefix,
            ["client", "--network", self.file, "--data", folder, "--socks", self.socks, "--hops", hops,
             *self.client_options], folder)
