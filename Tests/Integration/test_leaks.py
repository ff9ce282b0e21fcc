"""The packets that leave the machine: the client lives in a separate network namespace, and all packets are recorded."""
import contextlib
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from devnet import wait_until
from namespaces import Namespace, Unavailable
from nameserver import NameServer, ask_tcp, ask_udp, query
from network import Network
from udp import Association, UDPServer

PAGE = os.urandom(30_000)
CLIENT, NODES = "192.168.77.2", "192.168.77.1"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_):
        pass


@unittest.skipUnless(shutil.which("tcpdump") and shutil.which("curl"), "needs tcpdump and curl")
class Leaks(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        folder = pathlib.Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="tunic-test-")))
        self.record = folder / "packets"
        # A name server that a leak would ask, on a network that would carry the question.
        (folder / "resolv.conf").write_text("nameserver 192.168.77.53\nnameserver 8.8.8.8\n")
        try:
            self.nodes = self.stack.enter_context(Namespace())
            self.home = self.stack.enter_context(Namespace(resolver=folder / "resolv.conf"))
            self.nodes.sh(f"ip link add out type veth peer name in netns {self.home.holder.pid}\n"
                          f"ip address add {NODES}/24 dev out\nip link set out up")
            self.home.sh(f"ip address add {CLIENT}/24 dev in\nip address add fd77::2/64 dev in nodad")
        except Unavailable as error:
            self.skipTest(str(error))

    def capture(self):
        dump = subprocess.Popen(
            [*self.home.prefix, "tcpdump", "-i", "any", "-n", "-U", "-w", str(self.record), "--immediate-mode"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(dump.stderr.close)
        self.addCleanup(dump.wait)
        self.addCleanup(dump.kill)
        os.set_blocking(dump.stderr.fileno(), False)
        text = b""

        def listening():
            nonlocal text
            text += dump.stderr.read() or b""
            return b"listening on" in text

        wait_until(listening)
        return dump

    def packets(self):
        """(time, interface, direction, protocol, source, destination, kind) of each IP packet; the rest as text."""
        lines = subprocess.run(
            ["tcpdump", "-r", str(self.record), "-n", "-q", "-tt"], capture_output=True, text=True).stdout.splitlines()
        pattern = re.compile(r"(\S+) (\S+)\s+(In|Out|M|B|P)\s+(IP6?) (\S+) > (\S+): (\S+)")
        found = []
        for line in lines:
            match = pattern.match(line)
            found.append(match.groups() if match else line)
        return found

    def curl(self, kind, url, seconds=30):
        scheme, address = kind, self.proxy
        tunnel = ["--proxytunnel"] if scheme == "http" else []
        return self.home.run(
            "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", str(seconds), *tunnel, "--noproxy", "", "--proxy",
            f"{scheme}://{address}", url).stdout

    def test_l1_only_guards_hear_of_anything(self):
        zone = {("a.example.org", "A"): [bytes([127, 0, 0, 1])]}
        names = self.stack.enter_context(self.nodes.call(NameServer, zone))
        web = self.stack.enter_context(self.nodes.call(http.server.ThreadingHTTPServer, ("127.0.0.1", 0), Handler))
        self.addCleanup(web.shutdown)
        threading.Thread(target=web.serve_forever, daemon=True).start()
        echo = self.stack.enter_context(self.nodes.call(UDPServer))
        ports = range(7100, 7107)
        net = self.stack.enter_context(Network(
            [[f"{NODES}:{port}"] for port in ports], exits=2, prefix=self.nodes.prefix,
            exit_options=["--exit-resolver", f"127.0.0.1:{names.port}"], client_options=["--dns", "127.0.0.1:0"]))
        net.start_nodes()
        wait_until(lambda: all(node.status()["descriptors"] == len(ports) for node in net.nodes))
        # The network file names three nodes of three operators. The client asks them for the others before it chooses.
        network = json.loads(net.file.read_text())
        network["bootstrap"] = network["bootstrap"][:3]
        net.file = net.file.parent / "client.json"
        net.file.write_text(json.dumps(network))
        asked = {int(node["addresses"][0].rpartition(":")[2]) for node in network["bootstrap"]}
        dump = self.capture()
        page = f"http://a.example.org:{web.server_port}/"

        # Without a network there are errors, and nothing is tried elsewhere.
        net.start_client(prefix=self.home.prefix)
        wait_until(lambda: net.client.status().get("socks"))
        self.proxy = net.client.status()["socks"][0]
        proxy = ("127.0.0.1", int(self.proxy.rpartition(":")[2]))
        dns = ("127.0.0.1", int(net.client.status()["dns"][0].rpartition(":")[2]))
        self.assertEqual(self.curl("socks5h", page, seconds=3), "000")
        with contextlib.suppress(TimeoutError):
            answer = self.home.call(ask_udp, dns, query("early.example.org", "A"), timeout=3)
            self.assertEqual(answer.code, 2)

        # The network comes up, with a default route.
        self.home.sh(f"ip link set in up\nip route add default via {NODES}")
        wait_until(lambda: net.client.status()["ready"], 60)
        time.sleep(2)  # the last questions of a first contact
        quiet = time.time()
        entries = set()
        is_over = threading.Event()

        def look():
            while not is_over.wait(0.05):
                with contextlib.suppress(OSError):
                    entries.update(path["hops"][0] for path in net.client.paths())

        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        self.addCleanup(is_over.set)
        for kind in ("socks5h", "socks4a", "http", "socks5h"):
            self.assertEqual(self.curl(kind, page), "200")
            self.assertEqual(self.curl(kind, "http://no-such-name.example.org/", seconds=20), "000")
        self.assertEqual(self.home.call(ask_udp, dns, query("a.example.org", "A")).data, zone["a.example.org", "A"])
        for name in ("no-such-name.example.org", "node.snode", "x.onion", "printer.local"):
            self.home.call(ask_udp, dns, query(name, "A"))
        self.home.call(ask_tcp, dns, query("_x._tcp.example.org", "SRV"))
        relays = set()
        for _ in range(2):
            with self.home.call(Association, proxy) as association:
                relays.add(association.relay[1])
                self.assertEqual(association.exchange("a.example.org", echo.port, b"x")[2], b"x")
                for host, port in [("no-such-name.example.org", 53), ("8.8.8.8", 53), (NODES, 53), (CLIENT, 9), ("10.0.0.1", 1)]:
                    association.send(host, port, b"y")
                association.exchange("a.example.org", echo.port, b"z")

        # An exit dies, then the other.
        exits = {node.status()["node"]: node for node in net.nodes[-2:]}
        dead = next(path["hops"][-1] for path in net.client.paths() if path["active"])
        exits[dead].process.kill()
        wait_until(lambda: self.curl("socks5h", page, seconds=15) == "200", 60)
        for node in exits.values():
            node.process.kill()
        self.assertEqual(self.curl("socks5h", page, seconds=4), "000")
        with contextlib.suppress(TimeoutError):
            self.assertEqual(self.home.call(ask_udp, dns, query("late.example.org", "A"), timeout=2).code, 2)
        with contextlib.suppress(Exception):
            self.home.call(Association, proxy, timeout=2)

        is_over.set()
        looking.join()
        dump.send_signal(signal.SIGINT)
        dump.wait(60)
        addresses = {node.status()["node"]: port for node, port in zip(net.nodes[:-2], ports)} | dict(
            zip(exits, ports[-2:]))
        guards = {addresses[entry] for entry in entries}
        self.check(guards, asked, {proxy[1], dns[1]} | relays, quiet)
        self.assertIn(("a.example.org", "A"), names.asked)

    def check(self, guards, asked, own, quiet):
        packets = self.packets()
        outside, late, inside, odd = {}, {}, 0, []
        for packet in packets:
            if isinstance(packet, str):
                if not re.search(r"ARP|ethertype", packet):
                    odd.append(packet)
                continue
            moment, interface, _, _, source, destination, kind = packet
            ends = [end.rpartition(".")[::2] for end in (source, destination)]
            if kind.startswith("ICMP6") or kind == "HBH":  # the kernel's own, for its address
                continue
            if kind.startswith("ICMP") and destination != NODES:  # a port that is closed, on the loopback or at a dead node
                continue
            if interface == "lo":
                inside += 1
                if not any(port.isdigit() and int(port) in own for _, port in ends):
                    odd.append(packet)
                continue
            peer = next((end for end in ends if end[0] != CLIENT), None)
            if kind != "UDP," or {end[0] for end in ends} != {CLIENT, NODES} or not peer:
                odd.append(packet)
            else:
                outside[int(peer[1])] = outside.get(int(peer[1]), 0) + 1
                if float(moment) > quiet:
                    late[int(peer[1])] = late.get(int(peer[1]), 0) + 1
        self.assertEqual(odd[:10], [])
        self.assertGreater(inside, 100)
        self.assertGreater(sum(outside.values()), 200)
        self.assertLessEqual(set(outside), guards | asked, f"packets by port: {outside}")
        # Questions to the network file's nodes do not depend on apps or on exits that die. A node that is not a guard
        # gets pings of an idle link, and at most one round of questions.
        for port in asked - guards:
            self.assertLess(outside.get(port, 0), 60, outside)
            self.assertLess(late.get(port, 0), 10, late)
        self.assertLessEqual(len(guards), 4)


if __name__ == "__main__":
    unittest.main()
