"""Links and exits over IPv6: nodes with one family or both, and a machine without IPv4 and with an MTU of 1,280 bytes."""

import os
import pathlib
import subprocess
import tempfile
import unittest

from devnet import ask, wait_until
from namespaces import Namespace, Unavailable
from network import Network, free_port, has_ipv6

PAGE = os.urandom(2_000_000)

NAMESPACE = r"""
ip link set lo mtu 1280 up && ip -4 address del 127.0.0.1/8 dev lo && ip -6 address show dev lo | grep -q ::1 && mount --bind "$1" /etc/hosts && echo ready && exec sleep 600
"""


def six(port):
    return f"[::1]:{port}"


def four(port):
    return f"127.0.0.1:{port}"


class WebServer:
    """Serves PAGE at ::1, and at 127.0.0.1 if asked."""

    def __init__(self, prefix=(), address="::1"):
        self.prefix, self.address = list(prefix), address

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        pathlib.Path(self.folder.name, "page").write_bytes(PAGE)
        self.process = subprocess.Popen(
            [*self.prefix, "python3", "-u", "-m", "http.server", "0", "--bind", self.address, "--directory", self.folder.name],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.port = int(self.process.stdout.readline().split(" port ")[1].split()[0])
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.folder.cleanup()


def curl(socks, url, prefix=(), user=None):
    """The page that curl fetches through the proxy."""
    proxy = f"socks5h://{user + ':x@' if user else ''}{socks}"
    result = subprocess.run(
        [*prefix, "curl", "-gsS", "--max-time", "30", "--proxy", proxy, url], capture_output=True, check=False)
    if result.returncode:
        raise AssertionError(f"{url}: {result.stderr.decode()}")
    return result.stdout


@unittest.skipUnless(has_ipv6(), "this machine has no IPv6")
class BothFamilies(unittest.TestCase):
    def test_nodes_of_one_family_and_of_both_make_one_network(self):
        port = [free_port() for _ in range(6)]
        addresses = [[six(port[0])], [six(port[1])], [four(port[2])], [four(port[3])],
                     [four(port[4]), six(port[4])], [four(port[5]), six(port[5])]]
        with WebServer() as web, Network(addresses, exits=2) as net:
            socks = net.start()
            for node, listens in zip(net.nodes, addresses):
                self.assertEqual(node.status()["addresses"], listens)
            # Each user has a path of its own, over nodes with IPv4 alone and over others.
            for number in range(8):
                self.assertEqual(curl(socks, f"http://[::1]:{web.port}/page", user=f"u{number}"), PAGE)
            # Neighbouring hops always share a family.
            families = {node.status()["node"]: {address[0] == "[" for address in listens}
                        for node, listens in zip(net.nodes, addresses)}
            for path in net.client.paths():
                for one, other in zip(path["hops"], path["hops"][1:]):
                    self.assertTrue(families[one] & families[other], path)

    def test_a_network_at_one_ipv6_address(self):
        addresses = [[six(free_port())] for _ in range(3)]
        with WebServer() as web, WebServer(address="127.0.0.1") as old, Network(addresses) as net:
            socks = net.start()
            self.assertEqual(curl(socks, f"http://[::1]:{web.port}/page"), PAGE)
            # An exit connects over IPv4 even if its node is reached only over IPv6.
            self.assertEqual(curl(socks, f"http://127.0.0.1:{old.port}/page"), PAGE)


class Exits(unittest.TestCase):
    def test_an_address_of_ipv6_goes_to_an_exit_that_reaches_it(self):
        """If an isolation key's exit lacks the family, the key has a second exit; without IPv6 the machine's route would decide."""
        try:
            home = self.enterContext(Namespace())
        except Unavailable as error:
            self.skipTest(str(error))
        ports = range(7100, 7105)
        network = Network(
            [[four(port)] for port in ports], exits=2, prefix=home.prefix, exit_ranges={3: ["127.0.0.0/8"], 4: ["::1/128"]},
            client_options=["--hops", "2"])
        with WebServer(home.prefix) as six_web, WebServer(home.prefix, "127.0.0.1") as four_web, network as net:
            socks = net.start(hops=2)
            exits = [node.status()["node"] for node in net.nodes[3:]]
            pages = [f"http://127.0.0.1:{four_web.port}/page", f"http://[::1]:{six_web.port}/page"]
            for user, order in [("first", pages), ("second", pages[::-1]), ("third", pages)]:
                for page in order:
                    self.assertEqual(curl(socks, page, home.prefix, user=user), PAGE)
            keys = ask(net.client.control, "streams")["keys"]
            labels = {key["label"] for key in keys}
            self.assertEqual(len(labels), 3, "a key is shown under one label")
            for label in labels:
                self.assertEqual({key["exit"] for key in keys if key["label"] == label}, set(exits))


class WithoutIPv4(unittest.TestCase):
    """Everything runs in a network namespace without a route for IPv4, and with a loopback MTU of 1,280 bytes."""

    def setUp(self):
        hosts = tempfile.NamedTemporaryFile("w", suffix=".hosts")
        self.addCleanup(hosts.close)
        hosts.write("::1 six.test\n")
        hosts.flush()
        try:
            holder = subprocess.Popen(
                ["unshare", "-n", "-m", "sh", "-c", NAMESPACE, "sh", hosts.name], stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True)
        except FileNotFoundError:
            self.skipTest("no unshare")
        self.addCleanup(holder.stderr.close)
        self.addCleanup(holder.stdout.close)
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        if holder.stdout.readline() != "ready\n":
            self.skipTest("no network namespace can be made here")
        self.prefix = ["nsenter", "-t", str(holder.pid), "-n", "-m", "-r", "-w"]
        if subprocess.run([*self.prefix, "true"], capture_output=True).returncode != 0:
            self.skipTest("no namespace can be entered here")

    def test_what_is_reached_is_chosen_and_the_smallest_packets_fit(self):
        ports = range(7100, 7104)
        # The IPv4 addresses come first, and cannot be reached.
        addresses = [[f"198.51.100.{number}:{port}", six(port)] for number, port in enumerate(ports, 1)]
        listen = [[f"0.0.0.0:{port}", f"[::]:{port}"] for port in ports]
        network = Network(addresses, listen=listen, prefix=self.prefix, socks="[::1]:0", packet_size=1232)
        with network as net, WebServer(self.prefix) as web:
            socks = net.start()
            self.assertEqual(curl(socks, f"http://[::1]:{web.port}/page", self.prefix), PAGE)
            # The name has no IPv4 address, and only the exit knows it.
            self.assertEqual(curl(socks, f"http://six.test:{web.port}/page", self.prefix), PAGE)
            self.assertEqual(net.client.status()["failed_builds"], 0)
            wait_until(lambda: any(path["active"] and path["bytes_in"] > len(PAGE) for path in net.client.paths()))


if __name__ == "__main__":
    unittest.main()
