"""What carries streams over the emulated network: TCP itself, Tunic, and Tor. All of them run for the whole run.

A carrier offers
    prepare()       raises hosts.Unavailable or peers.PeerMissing where it cannot run
    launch()        starts its processes, wait() returns when it carries streams
    renew()         begins anew, as if it had just been installed, as far as it can
    way(host)       a Way from the client, or from the neighbour
    roles           {role: [pid]}, whose CPU counts
    guard(), middle(), kill(name)   the hosts that its streams pass, and the end of a node; only where it tells them
"""

import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parent.parent))

import flows  # noqa: E402
import hosts  # noqa: E402
import peers  # noqa: E402
import shape  # noqa: E402


class Way:
    """How apps of one host reach the destination."""

    def __init__(self, host, target, socks=None, control=None):
        self.host, self.target, self.socks, self.control = host, target, socks, control

    def open(self):
        """A connection; raises flows.Broken."""
        return flows.connect(self.host, self.target, self.socks, self.control)


class Direct:
    """TCP from the app to the destination."""

    roles = {}

    def __init__(self, world, control):
        self.world, self.control, self.name = world, control, control
        self.versions = {}

    def prepare(self):
        with open("/proc/sys/net/ipv4/tcp_available_congestion_control", encoding="ascii") as file:
            if self.control not in file.read().split():
                raise peers.PeerMissing(f"this kernel has no TCP {self.control}")

    def launch(self):
        """Nothing runs."""

    wait = renew = stop = launch

    def way(self, host="client"):
        return Way(self.world.hosts[host], (self.world.address("destination"), flows.PORT), control=self.control)

class Tunic:
    """Nodes of one network file, each in a namespace of its own, and a client."""

    control = None

    def __init__(self, world, folder, program, name="tunic", place=0):
        self.socks, self._port = ("127.0.0.1", 1_080 + place), 7_100 + place
        self.world, self.folder, self.program, self.name = world, pathlib.Path(folder), program, name
        self.versions, self.roles, self._nodes, self._clients, self._count = {}, {}, {}, {}, 0

    def prepare(self):
        if not os.access(self.program, os.X_OK):
            raise peers.PeerMissing(f"{self.program} does not exist: contrib/build, or say where it is with --tunic")
        self.versions = {"tunic": self._run("--version").strip()}

    def launch(self):
        self.folder.mkdir()
        form = "[{}]:{}" if self.world.six else "{}:{}"
        addresses = [form.format(self.world.address(name), self._port) for name in shape.NODES]
        self._run("network", "create", "--dir", self.folder / "net", "--local", "--exits", "1",
                  *(part for address in addresses for part in ("--address", address)))
        self._addresses = dict(zip(shape.NODES, addresses))
        for name in shape.NODES:
            self._start_node(name)

    def wait(self):
        deadline = time.monotonic() + 60
        while any(self._status(self._node_folder(name)).get("descriptors") != len(shape.NODES) for name in shape.NODES):
            self._wait_until(deadline, "the nodes do not know each other")
        self.renew()

    def renew(self):
        """Nodes that were killed run again, and the client is a new one."""
        for name in shape.NODES:
            if self._nodes[name].poll() is not None:
                self._start_node(name)
        for name in list(self._clients):
            self._end_client(name)
        self._start_client("client")

    def stop(self):
        """The hosts end their processes."""

    def way(self, host="client"):
        if host not in self._clients:
            self._start_client(host)
        return Way(self.world.hosts[host], (self.world.address("destination"), flows.PORT), socks=self.socks)

    def guard(self):
        return self._hop(0)

    def middle(self):
        return self._hop(1)

    def kill(self, name):
        """Kills the node of a host; `renew` starts it again."""
        self.world.hosts[name].end(self._nodes[name], at_once=True)

    def _hop(self, number):
        """The host of that hop on the path that carries most in half a second."""
        before, after = self._traffic(), time.sleep(0.5) or self._traffic()
        hops = max(after, key=lambda path: after[path] - before.get(path, 0))
        network = json.loads((self.folder / "net/network.json").read_text())
        address = next(node["addresses"][0] for node in network["bootstrap"] if node["id"] == hops[number])
        return next(name for name, one in self._addresses.items() if one == address)

    def _traffic(self):
        paths = json.loads(self._run("paths", "--json", "--control", self._clients["client"][1] / "control.sock"))["paths"]
        return {tuple(path["hops"]): path["bytes_in"] + path["bytes_out"] for path in paths}

    def _node_folder(self, name):
        return self.folder / "net" / f"node-{shape.NODES.index(name) + 1}"

    def _start_node(self, name):
        folder = self._node_folder(name)
        arguments = ["relay", "--network", self.folder / "net/network.json", "--data", folder, "--listen", self._addresses[name]]
        if name == shape.EXIT:
            arguments += ["--exit", "--exit-allow", f"{self.world.address('destination')}/{128 if self.world.six else 32}"]
        authority = folder / "authority.key"
        if authority.exists():
            arguments += ["--authority", authority]
        self._nodes[name] = self._start(name, arguments, f"{name}.log")
        self._set_roles()

    def _start_client(self, host):
        self._count += 1
        folder = self.folder / f"client-{self._count}"
        folder.mkdir(0o700)
        process = self._start(host, ["client", "--network", self.folder / "net/network.json", "--data", folder,
                                     "--socks", f"{self.socks[0]}:{self.socks[1]}", "--hops", "3"], f"client-{self._count}.log")
        self._clients[host] = process, folder
        self._set_roles()
        deadline = time.monotonic() + 60
        while not self._status(folder).get("ready"):
            if process.poll() is not None:
                raise peers.PeerFailed(f"the client ended: {(self.folder / f'client-{self._count}.log').read_text()[-300:]}")
            self._wait_until(deadline, "the client finds no path")

    def _end_client(self, host):
        self.world.hosts[host].end(self._clients.pop(host)[0])
        self._set_roles()

    def _set_roles(self):
        self.roles = {"relay": [process.pid for process in self._nodes.values()],
                      "client": [process.pid for process, _ in self._clients.values()]}

    def _start(self, host, arguments, log):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TUNIC_")}
        return self.world.hosts[host].start([self.program, *arguments], self.folder / log, env={**environment, "TUNIC_CONFIG": "/dev/null"})

    def _status(self, folder):
        try:
            return json.loads(self._run("status", "--json", "--control", folder / "control.sock"))
        except (peers.PeerFailed, ValueError):
            return {}

    def _run(self, *arguments):
        done = subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise peers.PeerFailed(f"tunic {arguments[0]}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def _wait_until(self, deadline, what):
        if time.monotonic() > deadline:
            raise peers.PeerFailed(what)
        time.sleep(0.1)


class Tor(peers.Tor):
    """The private Tor network of `bench/compare`, with its relays on the same hosts as Tunic's nodes."""

    control = None
    authorities, exits = len(shape.NODES) - 1, 1

    def __init__(self, world, folder):
        super().__init__(folder)
        self.world = world
        self._host_of = {f"authority{number}": name for number, name in enumerate(shape.NODES[:-1])}
        self._host_of |= {"exit0": shape.EXIT, "client": "client", "neighbour": "neighbour"}
        self._client_socks, self._others = ("127.0.0.1", 1_090), []

    def prepare(self):
        self.check()

    def address(self, name):
        return self.world.address(self._host_of[name])

    def wait(self):
        self.socks = None  # it is in another namespace, where the base class cannot try it
        super().wait()
        self._try(self.way())

    def renew(self):
        """Nothing: circuits stay."""

    def way(self, host="client"):
        way = Way(self.world.hosts[host], (self.world.address("destination"), flows.PORT), socks=self._client_socks)
        if host != "client" and host not in self._others:
            self._others.append(host)
            self._start_tor("client", host, self._client_settings(host))
            self._try(way)
        return way

    def _try(self, way):
        deadline = time.monotonic() + self.patience
        while True:
            try:
                way.open().close()
                return
            except flows.Broken as error:
                if time.monotonic() > deadline:
                    raise peers.PeerFailed(f"carries no stream: {error}") from error
                time.sleep(1)

    def start(self, role, command, **options):
        """Starts a process on the host of its name, which the settings file's folder has."""
        name = os.path.basename(os.path.dirname(command[2]))
        host = self.world.hosts[self._host_of[name]]
        process = host.start(command, os.path.join(self.folder, f"{name}.log"), **options)
        self.started.append(process)
        self.roles.setdefault(role, []).append(process.pid)
        return process

    def stop(self):
        """The hosts end the processes."""

    def _client_settings(self, name="client"):
        return self._common_settings(name) + [f"SocksPort {self._client_socks[0]}:{self._client_socks[1]}"]
