"""The proxies that are compared: how each is started, which processes it has, and how it is stopped.
One file: each peer is a short class.

A peer offers:
    socks      "127.0.0.1:PORT" of its SOCKS5 front door, or None to connect straight to the server
    isolates   whether a SOCKS user name keeps streams apart (a circuit or path of their own)
    roles      {role: [pid, ...]}: every process whose CPU and memory count
    versions   what is measured, for the report
    launch()   starts its processes; returns at once
    wait()     returns when it is ready to be tried; raises PeerFailed
    stop()     ends every process that it started; safe to call at any time, and twice
Everything listens on 127.0.0.1 only, and all files lie in the folder given to the peer.
"""

import json
import os
import re
import secrets
import selectors
import shutil
import signal
import socket
import subprocess
import time

import processes


class PeerMissing(Exception):
    """A program is not installed; the message says how to install it."""


class PeerFailed(Exception):
    """A peer did not start."""


def free_ports(count):
    """Ports of 127.0.0.1 that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def find_program(name, package):
    """The path of an installed program."""
    path = shutil.which(name)
    if path is None:
        raise PeerMissing(f"{name} is not installed: apt-get install {package}")
    return path


def package_version(package):
    """The version of a Debian package, or "unknown"."""
    try:
        done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


class Peer:
    """A proxy with processes; the base also serves as the direct connection, which has none."""

    name = "direct"
    isolates = False
    patience = 10  # seconds that wait() may take

    def __init__(self, folder):
        self.folder = folder
        self.socks = None
        self.roles = {}
        self.versions = {}
        self.started = []  # Popen of every process that this object started

    def check(self):
        """Raises PeerMissing when a program is not installed."""

    def launch(self):
        """Starts the processes."""

    def wait(self):
        """Waits for the SOCKS port to accept."""
        deadline = time.monotonic() + self.patience
        while self.socks is not None:
            host, port = self.socks.split(":")
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
                return
            except OSError as error:
                self.require_running()
                if time.monotonic() > deadline:
                    raise PeerFailed(f"{self.socks} does not accept: {error}") from error
                time.sleep(0.05)

    def start(self, role, command, **options):
        """Starts a process in a session of its own, so that Ctrl-C at the terminal reaches only this script."""
        os.makedirs(self.folder, exist_ok=True)
        with open(os.path.join(self.folder, f"{role}-{len(self.started)}.log"), "wb") as log:
            settings = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT, "start_new_session": True}
            process = subprocess.Popen(command, **{**settings, **options})
        self.started.append(process)
        if role:
            self.roles.setdefault(role, []).append(process.pid)
        return process

    def require_running(self):
        """Raises PeerFailed when a process has ended."""
        for process in self.started:
            if process.poll() is not None:
                raise PeerFailed(f"{process.args[0]} ended with status {process.returncode}")
        for role, pids in self.roles.items():
            for pid in pids:
                if not processes.is_running(pid):
                    raise PeerFailed(f"a process in the role {role} has ended")

    def stop(self):
        """Ends what was started: SIGTERM, and after 3 seconds SIGKILL."""
        for process in self.started:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + 3
        for process in self.started:
            try:
                process.wait(max(0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.started = []

    def path_build_ms(self):
        """The median time to build a path, where the proxy tells it; None otherwise."""
        return None


class Microsocks(Peer):
    """A plain SOCKS5 proxy: the cost of one relay in user space without any encryption."""

    name = "microsocks"

    def check(self):
        self.program = find_program("microsocks", "microsocks")
        self.versions = {"microsocks": package_version("microsocks")}

    def launch(self):
        port, = free_ports(1)
        self.socks = f"127.0.0.1:{port}"
        self.start("client", [self.program, "-i", "127.0.0.1", "-p", str(port)])


class Shadowsocks(Peer):
    """One encrypted hop: ss-local and ss-server with aes-256-gcm."""

    name = "shadowsocks"

    def check(self):
        self.local = find_program("ss-local", "shadowsocks-libev")
        self.server = find_program("ss-server", "shadowsocks-libev")
        self.versions = {"shadowsocks-libev": package_version("shadowsocks-libev")}

    def launch(self):
        far, near = free_ports(2)
        self.socks = f"127.0.0.1:{near}"
        common = ["-s", "127.0.0.1", "-p", str(far), "-k", secrets.token_hex(16), "-m", "aes-256-gcm", "-t", "600"]
        self.start("relay", [self.server, *common])
        self.start("client", [self.local, *common, "-b", "127.0.0.1", "-l", str(near)])


class Tor(Peer):
    """A private Tor network: three authorities that are relays too, three exits and a client; three hops."""

    name = "tor"
    isolates = True
    patience = 120
    extra = []
    authorities, exits = 3, 3

    def address(self, name):
        """Where a relay listens."""
        return "127.0.0.1"

    def check(self):
        self.program = find_program("tor", "tor")
        self.certifier = find_program("tor-gencert", "tor")
        self.versions = {"tor": package_version("tor")}

    def launch(self):
        names = [f"authority{i}" for i in range(self.authorities)] + [f"exit{i}" for i in range(self.exits)]
        ports = free_ports(2 * len(names) + 1)
        self.onion_ports = dict(zip(names, ports))
        self.directory_ports = dict(zip(names, ports[len(names):]))
        self.socks = f"127.0.0.1:{ports[-1]}"
        self.relay_names = names
        certificates = {name: self._certify(name) for name in names[:self.authorities]}
        self.authority_lines = []
        fingerprints = {name: self._fingerprint(name) for name in names}
        self.authority_lines = [
            f"DirAuthority {name} orport={self.onion_ports[name]} no-v2 v3ident={certificate} "
            f"{self.address(name)}:{self.directory_ports[name]} {fingerprints[name]}"
            for name, certificate in certificates.items()]
        voted = ",".join("$" + fingerprints[name] for name in names[self.authorities:])
        for name in names:
            settings = self._relay_settings(name)
            settings += self._authority_settings(voted) if name in certificates else ["ExitRelay 1", "ExitPolicy accept *:*"]
            self._start_tor("relay", name, settings)
        self._start_tor("client", "client", self._client_settings())

    def wait(self):
        """Waits until every process has a consensus that lists every relay: exits refuse streams from relays they do not know."""
        deadline = time.monotonic() + self.patience
        waiting = [*self.relay_names, "client"]
        while waiting:
            self.require_running()
            waiting = [name for name in waiting if self._known_relays(name) < len(self.relay_names)]
            if waiting and time.monotonic() > deadline:
                raise PeerFailed(f"no complete consensus after {self.patience} s at: {', '.join(waiting)}")
            time.sleep(0.5)
        super().wait()

    def _data(self, name):
        return os.path.join(self.folder, name)

    def _common_settings(self, name):
        return ["TestingTorNetwork 1", "AssumeReachable 1", "EnforceDistinctSubnets 0", "ClientRejectInternalAddresses 0",
                "ExitPolicyRejectPrivate 0", f"DataDirectory {self._data(name)}", f"Nickname {name}", "Log notice stdout",
                "SafeLogging 1", f"__OwningControllerProcess {os.getpid()}", *self.extra, *self.authority_lines]

    def _relay_settings(self, name):
        return self._common_settings(name) + [
            "SocksPort 0", f"Address {self.address(name)}", f"ORPort {self.address(name)}:{self.onion_ports[name]} IPv4Only",
            f"DirPort {self.address(name)}:{self.directory_ports[name]}", "ContactInfo bench@localhost"]

    def _authority_settings(self, voted_exits):
        """Votes every 30 s: the first consensus may lack a relay that started late, and the next must follow soon."""
        return ["AuthoritativeDirectory 1", "V3AuthoritativeDirectory 1", "ExitRelay 0", "ExitPolicy reject *:*",
                "TestingV3AuthInitialVotingInterval 10", "TestingV3AuthInitialVoteDelay 2", "TestingV3AuthInitialDistDelay 2",
                "V3AuthVotingInterval 30", "V3AuthVoteDelay 4", "V3AuthDistDelay 4",
                "TestingMinExitFlagThreshold 0", f"TestingDirAuthVoteExit {voted_exits}", "TestingDirAuthVoteGuard *"]

    def _client_settings(self):
        return self._common_settings("client") + [f"SocksPort {self.socks}"]

    def _start_tor(self, role, name, settings):
        path = self._write_settings(name, settings)
        self.start(role, [self.program, "-f", path, "--defaults-torrc", os.devnull])

    def _write_settings(self, name, settings):
        os.makedirs(self._data(name), mode=0o700, exist_ok=True)
        path = os.path.join(self._data(name), "torrc")
        with open(path, "w", encoding="ascii") as file:
            file.write("\n".join(settings) + "\n")
        return path

    def _certify(self, name):
        """Makes an authority's certificate and returns the fingerprint of its identity key."""
        keys = os.path.join(self._data(name), "keys")
        os.makedirs(keys, mode=0o700, exist_ok=True)
        os.chmod(self._data(name), 0o700)
        self._run([self.certifier, "--create-identity-key", "--passphrase-fd", "0", "-m", "12",
                   "-a", f"{self.address(name)}:{self.directory_ports[name]}", "-i", "authority_identity_key",
                   "-s", "authority_signing_key", "-c", "authority_certificate"], folder=keys, text="bench-passphrase\n")
        with open(os.path.join(keys, "authority_certificate"), encoding="ascii") as file:
            return re.search(r"^fingerprint ([0-9A-F]{40})$", file.read(), re.MULTILINE).group(1)

    def _fingerprint(self, name):
        """Makes a relay's keys and returns the fingerprint of its identity. Tor wants authorities to be named even for this."""
        placeholder = f"DirAuthority placeholder orport=1 no-v2 v3ident={'A' * 40} 127.0.0.1:1 {'B' * 40}"
        path = self._write_settings(name, [*self._relay_settings(name), placeholder])
        self._run([self.program, "--list-fingerprint", "-f", path, "--defaults-torrc", os.devnull, "--quiet"])
        with open(os.path.join(self._data(name), "fingerprint"), encoding="ascii") as file:
            return file.read().split()[1]

    def _run(self, command, folder=None, text=""):
        done = subprocess.run(command, cwd=folder, input=text, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise PeerFailed(f"{command[0]}: {(done.stderr or done.stdout).strip()[-300:]}")

    def _known_relays(self, name):
        """How many running relays the latest consensus in a process's data folder lists."""
        most = 0
        for file_name in ("cached-microdesc-consensus", "cached-consensus"):
            try:
                with open(os.path.join(self._data(name), file_name), encoding="ascii", errors="replace") as file:
                    most = max(most, len(re.findall(r"^s .*\bRunning\b", file.read(), re.MULTILINE)))
            except OSError:
                pass
        return most


class TorVanilla(Tor):
    """The same network with the plain scheduler, which suits a loopback network better than the default one (KIST)."""

    name = "tor-vanilla"
    extra = ["Schedulers Vanilla"]


class Tunic(Peer):
    """`tunic devnet`: a whole network and a client on this machine, three hops."""

    name = "tunic"
    isolates = True
    patience = 60

    def __init__(self, folder, program, name="tunic"):
        super().__init__(folder)
        self.program = program
        self.name = name

    def check(self):
        if not os.access(self.program, os.X_OK):
            raise PeerMissing(f"{self.program} does not exist: swift build -c release, or say where it is with --tunic")
        done = subprocess.run([self.program, "--version"], capture_output=True, text=True, timeout=10, check=False)
        self.versions = {"tunic": done.stdout.strip() or "unknown"}

    def launch(self):
        # New connections a second are to be what the program can do, not what the default limits allow.
        limits = {"streamsPerSecond": 20_000, "streamBurst": 20_000, "clientBuildsPerSecond": 2_000, "clientBuildBurst": 2_000,
                  "buildsPerSecond": 5_000, "pathsPerClientLink": 10_000}
        options = [part for limit in limits.items() for part in ("--limit", "%s=%d" % limit)]
        self.process = self.start(
            "", [self.program, "devnet", "--json", "--socks", "127.0.0.1:0", *options], stdout=subprocess.PIPE)

    def wait(self):
        network = self._read_network()
        try:
            self.socks, self.control = network["socks"], network.get("control")
            client = network["client"]["pid"]
            nodes = [node["pid"] for node in network["nodes"]]
        except (KeyError, TypeError) as error:
            raise PeerFailed(f"tunic devnet: its line lacks {error}") from error
        self.roles = {"client": [client], "relay": sorted(set(nodes) - {client})}
        super().wait()

    def stop(self):
        """Ends the devnet, and then whatever of its processes is still there."""
        members = [pid for pids in self.roles.values() for pid in pids]
        super().stop()
        for pid in members:
            if processes.is_running(pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.roles = {}

    def path_build_ms(self):
        """`path_build_ms`, a number or {"p50": number}, in the client's status."""
        if self.control is None:
            return None
        try:
            done = subprocess.run([self.program, "status", "--json", "--control", self.control], capture_output=True, text=True,
                                  timeout=10, check=True)
            value = json.loads(done.stdout).get("path_build_ms")
        except (OSError, ValueError, AttributeError, subprocess.SubprocessError):
            return None
        if isinstance(value, dict):
            value = value.get("p50")
        return value if isinstance(value, (int, float)) else None

    def _read_network(self):
        """The one line that says that the network is ready. The pipe stays open and is read no more: nothing else is written to it."""
        deadline, line = time.monotonic() + self.patience, b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in line:
                if not selector.select(max(0, deadline - time.monotonic())):
                    raise PeerFailed(f"tunic devnet: not ready after {self.patience} s")
                chunk = os.read(self.process.stdout.fileno(), 65536)
                if not chunk:
                    raise PeerFailed(f"tunic devnet ended before it was ready; its log: {self._log()}")
                line += chunk
        try:
            return json.loads(line.split(b"\n", 1)[0])
        except ValueError as error:
            raise PeerFailed(f"tunic devnet: no JSON: {line[:200]!r}") from error

    def _log(self):
        with open(os.path.join(self.folder, "-0.log"), encoding="utf-8", errors="replace") as file:
            return file.read().strip()[-300:] or "empty"


PEER_NAMES = ["direct", "microsocks", "shadowsocks", "tor", "tor-vanilla", "tunic"]


def commit_of(program):
    """The commit that a build of tunic names, or None."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"tunic [^\s+]*\+(\S+)", done.stdout)
    return found[1] if found and not found[1].startswith("unknown") else None


def names_of(programs, commit_of=commit_of):
    """A name for each build of tunic: of one alone `tunic`, of several by commit, and by file where two are of one commit."""
    if len(programs) == 1:
        return ["tunic"]
    commits = [commit_of(program) for program in programs]
    names = [f"tunic {program if commit is None or commits.count(commit) > 1 else commit}" for program, commit in zip(programs, commits)]
    return [name if names.count(name) == 1 else f"{name} ({names[:place + 1].count(name)})" for place, name in enumerate(names)]


def make(name, folder, tunic_programs):
    """The peers of that name, one, or one for each build of tunic; their files are below `folder`."""
    kinds = {kind.name: kind for kind in (Peer, Microsocks, Shadowsocks, Tor, TorVanilla)}
    own = os.path.join(folder, name)
    if name != "tunic":
        return [kinds[name](own)]
    names = names_of(tunic_programs)
    return [Tunic(f"{own}-{place}", program, names[place]) for place, program in enumerate(tunic_programs)]
