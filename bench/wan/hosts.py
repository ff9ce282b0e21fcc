"""Network namespaces without names, each with a TUN device, and the emulator that carries packets between them.

A namespace lives as long as this process holds its descriptor and programs run in it, so it is gone with them, also after SIGKILL.
Nothing in it leads outside: it has its loopback and the device, which the emulator alone reads.
"""

import concurrent.futures
import contextlib
import ctypes
import fcntl
import json
import os
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
DEVICE = "wan0"
MTU = 1_500
PATIENCE = 10  # seconds that the emulator may take to answer
_libc = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):
    """This machine cannot do it; the message is a whole sentence."""


class Failed(Exception):
    """Something that should work did not."""


def require():
    """Raises Unavailable where namespaces and devices cannot be made."""
    if os.geteuid() != 0:
        raise Unavailable("bench/wan needs root, to make network namespaces and TUN devices: start it with sudo.")
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise Unavailable(f"bench/wan needs TUN devices, but /dev/net/tun cannot be opened: {error.strerror}.") from error
    for program, package in (("ip", "iproute2"), ("nsenter", "util-linux"), ("setpriv", "util-linux")):
        if shutil.which(program) is None:
            raise Unavailable(f"bench/wan needs the program {program}: apt-get install {package}.")


def _on_thread(step):
    """What `step` returns on a thread of its own, which may change its namespace."""
    result = concurrent.futures.Future()

    def work():
        try:
            result.set_result(step())
        except BaseException as error:  # noqa: it is the caller's
            result.set_exception(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join()
    return result.result()


def _default_route(source):
    """The words of the route. It names CUBIC, as the machine may not allow a namespace another default than its own."""
    return ["default", "dev", DEVICE, *(["src", source] if source else []), "congctl", "cubic"]


def _check(result, what):
    if result:
        number = ctypes.get_errno()
        raise Unavailable(f"bench/wan cannot make network namespaces here: {what}: {os.strerror(number)}.")


class Host:
    """A network namespace, its device, its addresses, and the processes that run in it."""

    def __init__(self, name, *addresses):
        self.name, self.addresses, self.processes = name, [], []
        self.device, self._namespace = -1, -1
        self._namespace, self.device = _on_thread(self._make)
        self.ip("link", "set", "lo", "up")
        self.ip("link", "set", DEVICE, "mtu", str(MTU), "txqueuelen", "10000", "up")
        # Else a connection begins with what the last one to this address has learnt.
        self.set("net/ipv4/tcp_no_metrics_save", "1")
        for kind in ("rmem", "wmem"):
            self.set(f"net/ipv4/tcp_{kind}", "4096 131072 67108864")
        for address in addresses:
            self.add_address(address)

    @staticmethod
    def _make():
        _check(_libc.unshare(NEWNET), "unshare")
        namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
            except OSError as error:
                os.close(device)
                raise Unavailable(f"bench/wan cannot make a TUN device in a namespace: {error.strerror}.") from error
            return namespace, device
        except BaseException:
            os.close(namespace)
            raise

    def close(self):
        """Ends the processes, and with them the namespace."""
        self.end(*self.processes)
        for descriptor in (self.device, self._namespace):
            if descriptor >= 0:
                os.close(descriptor)
        self.device = self._namespace = -1

    def call(self, step):
        """Calls `step` on a thread in this namespace; sockets that it makes stay there."""
        def inside():
            _check(_libc.setns(self._namespace, NEWNET), "setns")
            return step()
        return _on_thread(inside)

    def socket(self, kind=socket.SOCK_STREAM, family=socket.AF_INET):
        """A socket in this namespace."""
        return self.call(lambda: socket.socket(family, kind))

    def set(self, name, value):
        """Sets a value of the namespace's own /proc/sys."""
        def write():
            with open(f"/proc/sys/{name}", "w", encoding="ascii") as file:
                file.write(value)
        self.call(write)

    def ip(self, *words):
        """Runs `ip` in the namespace."""
        self.run(["ip", *words])

    def run(self, command):
        """Runs a short program here; what it prints."""
        done = subprocess.run([*self._prefix(), *map(str, command)], capture_output=True, text=True, check=False, pass_fds=[self._namespace])
        if done.returncode:
            raise Failed(f"{self.name}: {' '.join(map(str, command))}: {done.stderr.strip()}")
        return done.stdout

    def start(self, command, log, **options):
        """Starts a program here, which dies with this process. Call it on the main thread only."""
        with open(log, "wb") as file:
            settings = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": subprocess.STDOUT, "start_new_session": True}
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self._prefix(), *map(str, command)], pass_fds=[self._namespace], **{**settings, **options})
        self.processes.append(process)
        return process

    def end(self, *ended, at_once=False):
        """Ends processes that were started here: SIGTERM, and after 2 seconds SIGKILL."""
        ended = list(ended)
        for process in ended:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL if at_once else signal.SIGTERM)
        deadline = time.monotonic() + 2
        for process in ended:
            try:
                process.wait(max(0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self.processes.remove(process)

    def add_address(self, address):
        """Gives the host an address; the emulator is told by `World`."""
        six = ["-6"] if ":" in address else []
        nodad = ["nodad"] if six else []
        self.ip(*six, "address", "add", f"{address}/{128 if six else 32}", "dev", DEVICE, *nodad)
        self.ip(*six, "route", "replace", *_default_route(None if six else address))
        self.addresses.append(address)

    def remove_address(self, address):
        """Takes an address from the host."""
        six = ["-6"] if ":" in address else []
        self.ip(*six, "address", "del", f"{address}/{128 if six else 32}", "dev", DEVICE)
        self.addresses.remove(address)
        left = [one for one in self.addresses if (":" in one) == bool(six)]
        if left:
            self.ip(*six, "route", "replace", *_default_route(None if six else left[-1]))

    def device_drops(self):
        """Packets that the device's own queue dropped, because the emulator did not read it in time."""
        shown = json.loads(self.run(["ip", "-s", "-j", "link", "show", "dev", DEVICE]))
        return shown[0]["stats64"]["tx"]["dropped"]

    def _prefix(self):
        return ["nsenter", f"--net=/proc/self/fd/{self._namespace}", "--"]


class World:
    """Hosts, and the emulator between them."""

    def __init__(self, program, seed, folder):
        self.hosts = {}
        self._program, self._seed, self._folder = program, seed, folder
        self._process, self._rest = None, b""

    def add(self, name, *addresses):
        """A host with these addresses. All hosts are added before `start`."""
        self.hosts[name] = host = Host(name, *addresses)
        return host

    def start(self, lines, segments, routes):
        """Starts the emulator. `lines` and `segments`: {name: settings}; `routes`: [(from, to, [element, ...])]."""
        devices = [host.device for host in self.hosts.values()]
        with open(os.path.join(self._folder, "emulator.log"), "wb") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", self._program, str(self._seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                pass_fds=devices, start_new_session=True, bufsize=0)
        try:
            os.sched_setscheduler(self._process.pid, os.SCHED_FIFO, os.sched_param(5))
            self.is_realtime = True
        except OSError:
            self.is_realtime = False
        self.tell(*(f"host {host.name} {host.device}" for host in self.hosts.values()),
                  *(f"address {host.name} {address}" for host in self.hosts.values() for address in host.addresses),
                  *(f"line {name} {settings}" for name, settings in lines.items()),
                  *(f"segment {name} {settings}" for name, settings in segments.items()),
                  *(f"route {one} {other} {' '.join(elements)}" for one, other, elements in routes))

    def tell(self, *commands):
        """Gives the emulator commands; the last one's answer."""
        answer = ""
        try:
            self._process.stdin.write("".join(f"{command}\n" for command in commands).encode())
        except BrokenPipeError as error:
            raise Failed("the emulator has ended") from error
        for command in commands:
            answer = self._line()
            if answer.startswith("error"):
                raise Failed(f"emulator: {command}: {answer}")
        return answer

    def counts(self):
        """Everything that the emulator counts."""
        return json.loads(self.tell("counts"))

    def device_drops(self):
        """Packets that never reached the emulator, of all hosts."""
        return sum(host.device_drops() for host in self.hosts.values())

    def move(self, name, old, new):
        """The host's address changes: the old one is gone at once, and the new one is there."""
        host = self.hosts[name]
        self.tell(f"forget {name} {old}", f"address {name} {new}")
        host.add_address(new)
        host.remove_address(old)

    @property
    def pid(self):
        """The emulator's."""
        return self._process.pid

    def close(self):
        """Ends everything."""
        if self._process is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()
            self._process = None
        for host in self.hosts.values():
            host.close()
        self.hosts = {}

    def _line(self):
        deadline = time.monotonic() + PATIENCE
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                chunk = b""
                if selector.select(max(0, deadline - time.monotonic())):
                    chunk = os.read(self._process.stdout.fileno(), 65_536)
                if not chunk:
                    raise Failed("the emulator does not answer")
                self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()
