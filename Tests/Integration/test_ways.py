"""A client and nodes in separate networks, with default limits: a machine with several addresses, routes with a small MTU, a frozen
client."""
import contextlib
import os
import signal
import socket
import threading
import time
import unittest

from devnet import wait_until
from namespaces import Namespace, Unavailable
from network import Network
from peers import read_exactly, socks_connect

NODES = 6
# The address of the server, which is a public one of the machine of the exits.
SERVER = "12.0.0.9"


class Echo:
    """A server in a namespace that echoes."""

    def __init__(self, home, address, family=socket.AF_INET):
        self.server = home.call(socket.create_server, (address, 0), family=family)
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=[self.server.accept()[0]], daemon=True).start()

    @staticmethod
    def serve(sock):
        with sock, contextlib.suppress(OSError):
            while data := sock.recv(65536):
                sock.sendall(data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.close()


def ask(home, socks, address, port, *, size=2, user=None):
    """Sends bytes through the proxy in `home` and reads them back; returns the open connection."""
    host, at = socks.rsplit(":", 1)
    sock = home.call(socks_connect, (host, int(at)), address, port, user=user)
    exchange(sock, size)
    return sock


def exchange(sock, size=2, limit=10):
    sock.settimeout(limit)
    data = os.urandom(size)
    sender = threading.Thread(target=sock.sendall, args=[data])
    sender.start()
    got = read_exactly(sock, size)
    sender.join()
    assert got == data


@contextlib.contextmanager
def two_machines(mtu=1500):
    """A namespace for nodes, at 11.N.0.1 and 2a0b:N::1, and one for a client, with a link between them."""
    with Namespace() as far, Namespace() as home:
        far.sh(f"ip link add way type veth peer name way netns {home.holder.pid}")
        for number in range(1, NODES + 1):
            far.sh(f"ip address add 11.{number}.0.1/32 dev lo; ip address add 2a0b:{number}::1/128 dev lo nodad")
        far.sh(f"ip address add {SERVER}/32 dev lo")
        far.sh(f"ip address add 30.0.0.1/32 dev way; ip link set way mtu {mtu} up; ip route add 30.0.0.2/32 dev way src 30.0.0.1;"
               "ip address add 2a0b:30::1/128 dev way nodad; ip -6 route add 2a0b:30::2/128 dev way")
        home.sh(f"ip address add 30.0.0.2/32 dev way; ip link set way mtu {mtu} up; ip route add 11.0.0.0/8 dev way;"
                "ip address add 2a0b:30::2/128 dev way nodad; ip -6 route add 2a0b:30::1/128 dev way;"
                # A neighbour answers only for the addresses of its own interface.
                "ip -6 route add 2a0b::/16 via 2a0b:30::1 dev way")
        yield far, home


class Ways(unittest.TestCase):
    def machines(self, **options):
        try:
            return self.enterContext(two_machines(**options))
        except Unavailable as error:
            self.skipTest(str(error))

    def network(self, far, home, addresses, listen=None):
        prefixes = {number: far.prefix for number in range(NODES)}
        return self.enterContext(Network(
            addresses, exits=2, listen=listen, prefix=home.prefix, prefixes=prefixes, local=False,
            exit_ranges={number: [f"{SERVER}/32"] for number in range(NODES + 1)}))

    def start(self, net):
        net.start_nodes()
        wait_until(lambda: all(node.status()["descriptors"] == NODES for node in net.nodes), 60)
        net.start_client()
        wait_until(lambda: net.client.status()["ready"], 60)
        return net.client.status()["socks"][0]

    def test_r9_a_relay_of_several_addresses_answers_from_the_one_that_was_asked(self):
        far, home = self.machines()
        # Packets from any other address of the nodes are dropped, as by a stateful firewall.
        home.sh("ip route add blackhole 30.0.0.1/32; echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter")
        addresses = [[f"11.{number}.0.1:{7100 + number}"] for number in range(1, NODES + 1)]
        listen = [[f"0.0.0.0:{7100 + number}"] for number in range(1, NODES + 1)]
        net = self.network(far, home, addresses, listen)
        with Echo(far, SERVER) as echo:
            ask(home, self.start(net), SERVER, echo.port, size=500_000).close()

    def check_small(self, addresses, mtu):
        far, home = self.machines(mtu=mtu)
        net = self.network(far, home, addresses)
        with Echo(far, SERVER) as echo:
            ask(home, self.start(net), SERVER, echo.port, size=500_000).close()

    def test_r8_a_way_that_carries_1280_bytes(self):
        self.check_small([[f"11.{number}.0.1:7100"] for number in range(1, NODES + 1)], 1280)

    def test_r8_a_way_of_ipv6_that_carries_1280_bytes(self):
        self.check_small([[f"[2a0b:{number}::1]:7100"] for number in range(1, NODES + 1)], 1280)

    def test_r7_a_client_that_stands_still_goes_on(self):
        far, home = self.machines()
        net = self.network(far, home, [[f"11.{number}.0.1:7100"] for number in range(1, NODES + 1)])
        socks = self.start(net)
        with Echo(far, SERVER) as echo:
            for turn in range(6):
                with self.subTest(turn=turn):
                    user = f"user{turn}"
                    sock = ask(home, socks, SERVER, echo.port, user=user)
                    net.client.process.send_signal(signal.SIGSTOP)
                    time.sleep(2 + turn % 2)
                    net.client.process.send_signal(signal.SIGCONT)
                    exchange(sock)
                    sock.close()
                    ask(home, socks, SERVER, echo.port, user=user).close()


if __name__ == "__main__":
    unittest.main()
