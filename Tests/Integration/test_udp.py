"""UDP through the network: SOCKS5's UDP ASSOCIATE at the client, a socket for each association at the exit."""
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

from devnet import Devnet, answers, ask, binary, wait_until
from network import has_ipv6
from peers import SocksError
from udp import Association, UDPServer, encode

COUNT = int(os.environ.get("TUNIC_ASSOCIATIONS", "60"))


def descriptors(control):
    """The open descriptors of a process, by its own report: only root may count another's."""
    figures = subprocess.run([binary(), "metrics", "--control", control], check=True, capture_output=True, text=True).stdout
    return int(re.search(r"^process_open_fds (\d+)$", figures, re.M)[1])


def resident(pid):
    """Kilobytes in memory."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


class UDP(unittest.TestCase):
    """One network for all."""

    @classmethod
    def setUpClass(cls):
        cls.net = cls.enterClassContext(Devnet())
        cls.echo = cls.enterClassContext(UDPServer())
        cls.network = os.path.join(os.path.dirname(os.path.dirname(cls.net.control)), "network.json")

    def associate(self, **options):
        association = Association(self.net.socks, **options)
        self.addCleanup(association.close)
        return association

    def sync(self, association):
        """Waits until all earlier datagrams have arrived at the exit or are lost."""
        mark = os.urandom(16)
        while association.exchange("127.0.0.1", self.echo.port, mark)[2] != mark:
            pass

    def second_client(self, *options):
        folder = tempfile.TemporaryDirectory(prefix="tunic-test-")
        self.addCleanup(folder.cleanup)
        client = subprocess.Popen(
            [binary(), "client", "--network", self.network, "--data", folder.name, "--socks", "127.0.0.1:0", *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        control = os.path.join(folder.name, "control.sock")
        wait_until(lambda: answers(control))
        wait_until(lambda: ask(control, "status")["ready"])
        host, _, port = ask(control, "status")["socks"][0].rpartition(":")
        return (host, int(port)), control

    def test_datagrams_of_every_size(self):
        association = self.associate()
        for size in (0, 1, 100, 1_200, 1_230, 1_240, 1_260, 1_500, 9_000, 30_000, 65_497):
            with self.subTest(size=size):
                data = os.urandom(size)
                self.assertEqual(
                    association.exchange("127.0.0.1", self.echo.port, data), ("127.0.0.1", self.echo.port, data))

    def test_names_are_resolved_at_the_exit_and_answers_bear_them(self):
        association = self.associate()
        for size in (5, 20_000):
            data = os.urandom(size)
            self.assertEqual(
                association.exchange("localhost", self.echo.port, data), ("localhost", self.echo.port, data))
        self.assertEqual(association.exchange("127.0.0.1", self.echo.port, b"x")[0], "127.0.0.1")
        association.send("no-such-host.invalid", self.echo.port, b"nowhere")
        self.sync(association)

    @unittest.skipUnless(has_ipv6(), "needs IPv6 on the loopback")
    def test_ipv6(self):
        association = self.associate()
        with UDPServer(host="::1") as echo:
            for size in (3, 65_000):
                data = os.urandom(size)
                self.assertEqual(association.exchange("::1", echo.port, data), ("::1", echo.port, data))
            # One association serves both families.
            self.assertEqual(association.exchange("127.0.0.1", self.echo.port, b"4")[2], b"4")

    def test_each_association_has_an_exit_socket_of_its_own(self):
        with UDPServer() as server:
            for _ in range(3):
                association = self.associate()
                association.exchange("127.0.0.1", server.port, b"a")
                association.exchange("127.0.0.1", server.port, b"b")
            sources = {source for _, source in server.seen}
            self.assertEqual(len(sources), 3)

    def test_e3_only_hosts_that_were_sent_something_are_heard(self):
        association = self.associate()
        with UDPServer() as server:
            association.exchange("127.0.0.1", server.port, b"hello")
            exit = server.seen[0][1]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger, \
                    socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as neighbour:
                stranger.bind(("127.0.0.2", 0))
                neighbour.bind(("127.0.0.1", 0))
                for _ in range(5):
                    stranger.sendto(b"stranger", exit)
                neighbour.sendto(b"neighbour", exit)
                self.assertEqual(association.receive(), ("127.0.0.1", neighbour.getsockname()[1], b"neighbour"))
            self.sync(association)

    def test_e2_e3_the_policy_holds_for_udp(self):
        association = self.associate()
        with contextlib.ExitStack() as stack:
            servers = []
            for port in (19, 25, 123, 161, 389, 1900, 11211):
                with contextlib.suppress(OSError):
                    servers.append(stack.enter_context(UDPServer(port=port)))
            self.assertTrue(servers, "no port could be taken")
            for server in servers:
                association.send("127.0.0.1", server.port, b"amplify")
                association.send("localhost", server.port, b"amplify")
            # The exit sends nothing to special addresses, also in other spellings.
            for host in ("10.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1",
                         "fe80::1", "64:ff9b::a00:1", "2002:a00:1::1"):
                association.send(host, 53, b"special")
            association.send("127.0.0.1", 0, b"port 0")
            self.sync(association)
            self.assertEqual([server.seen for server in servers], [[] for _ in servers])

    def test_e3_a_silent_host_is_not_flooded(self):
        association = self.associate()
        with UDPServer(answer=lambda data: None) as silent:
            began = time.monotonic()
            for _ in range(2_000):
                association.send("127.0.0.1", silent.port, bytes(1_000))
            self.sync(association)
            seconds = time.monotonic() - began
            got = sum(len(data) for data, _ in silent.seen)
            self.assertGreater(got, 100_000)
            self.assertLess(got, 524_288 + 262_144 * (seconds + 1))

    def test_l1_an_address_is_refused_where_names_only_are_let_out(self):
        def associations():
            return sum(ask(node.control, "status")["associations"] for node in self.net.nodes)

        before = associations()
        _, control = self.second_client("--socks", "127.0.0.1:0,names-only")
        host, _, port = ask(control, "status")["socks"][1].rpartition(":")
        with Association((host, int(port))) as association:
            self.echo.seen.clear()
            for address in ("127.0.0.1", "::1"):
                association.send(address, self.echo.port, b"by address")
            self.assertEqual(association.exchange("localhost", self.echo.port, b"by name")[2], b"by name")
            self.assertNotIn(b"by address", [data for data, _ in self.echo.seen])
        # The exit must hear of the end before the client is killed; else it keeps the association for a minute.
        wait_until(lambda: associations() <= before)

    def test_l5_the_port_is_the_first_senders_alone(self):
        association = self.associate()
        self.assertEqual(association.relay[0], "127.0.0.1")
        with UDPServer() as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
            far.bind(("127.0.0.2", 0))
            other.bind(("127.0.0.1", 0))
            datagram = b"\0\0\0\1\x7f\0\0\1" + server.port.to_bytes(2, "big")
            far.sendto(datagram + b"first, from elsewhere", association.relay)
            association.exchange("127.0.0.1", server.port, b"mine")
            for _ in range(5):
                other.sendto(datagram + b"hijack", association.relay)
                far.sendto(datagram + b"hijack", association.relay)
            association.exchange("127.0.0.1", server.port, b"mine again")
            self.sync(association)
            self.assertEqual({data for data, _ in server.seen}, {b"mine", b"mine again"})
            for sock in (other, far):
                sock.setblocking(False)
                self.assertRaises(BlockingIOError, sock.recv, 1)

    @unittest.skipUnless(os.geteuid() == 0, "only root can act as another user")
    def test_l5_another_user_of_the_machine_does_not_take_the_port(self):
        association = self.associate()
        with UDPServer() as server:
            code = textwrap.dedent(f"""
                import os, socket
                os.setuid(65534)
                stays = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                stays.bind(("127.0.0.1", 0))
                goes = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                for sock in (stays, goes):
                    sock.sendto({encode("127.0.0.1", server.port)!r}.join((b"\\0\\0\\0", b"hijack")), {association.relay!r})
                goes.close()
                input()
            """)
            before = self.net.status()["drops"].get("udpSource", 0)
            other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
            self.addCleanup(other.wait)
            self.addCleanup(other.stdin.close)
            wait_until(lambda: self.net.status()["drops"].get("udpSource", 0) >= before + 2)
            association.exchange("127.0.0.1", server.port, b"mine")
            self.sync(association)
            self.assertEqual([data for data, _ in server.seen], [b"mine"])

    def test_l5_an_app_may_say_which_port_it_sends_from(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as named:
            named.bind(("127.0.0.1", 0))
            association = self.associate(expected=("127.0.0.1", named.getsockname()[1]))
            with UDPServer() as server:
                association.send("127.0.0.1", server.port, b"from another port")
                datagram = b"\0\0\0\1\x7f\0\0\1" + server.port.to_bytes(2, "big")
                named.settimeout(60)
                named.sendto(datagram + b"named", association.relay)
                self.assertEqual(named.recv(100), datagram + b"named")
                self.assertEqual([data for data, _ in server.seen], [b"named"])
        # Meaningless names are not an error.
        with Association(self.net.socks, expected=("0", 0)) as association:
            self.sync(association)

    def test_r1_an_address_that_is_not_the_apps_own_says_nothing_of_its_port(self):
        """Apps put their destination into the field for which RFC 1928 requires the port that they send from."""
        for expected in (("8.8.8.8", 53), ("example.com", 443), ("::1", 53), ("0.0.0.0", 0), ("127.0.0.1", 0)):
            with self.subTest(expected=expected), Association(self.net.socks, expected=expected) as association:
                self.assertEqual(association.exchange("127.0.0.1", self.echo.port, b"heard")[2], b"heard")

    def test_r1_a_port_without_an_address_or_with_the_apps_own_binds(self):
        before = ask(self.net.control, "status")["drops"].get("udpSource", 0)
        for host in ("0.0.0.0", "127.0.0.1"):
            with UDPServer() as server, Association(self.net.socks, expected=(host, 53)) as association:
                association.send("127.0.0.1", server.port, b"from another port")
                wait_until(lambda: ask(self.net.control, "status")["drops"].get("udpSource", 0) > before)
                before = ask(self.net.control, "status")["drops"]["udpSource"]
                self.assertEqual(server.seen, [])

    def test_r13_datagrams_to_too_many_new_hosts_are_counted_at_the_exit(self):
        def dropped():
            return sum(node.status()["drops"].get("udpHosts", 0) for node in self.net.nodes)

        association = self.associate()
        self.sync(association)
        before = dropped()
        for number in range(1_000):
            association.send(f"127.7.{number // 250}.{number % 250 + 1}", 9, b"x")
        wait_until(lambda: dropped() > before)
        self.assertLess(dropped() - before, 600)

    def test_l5_fragments_and_what_cannot_be_read_are_dropped(self):
        association = self.associate()
        with UDPServer() as server:
            for head in (b"\0\0\1", b"\0\0\x81", b"\1\0\0", b"\0\1\0"):
                association.send("127.0.0.1", server.port, b"no", head=head)
            for datagram in (b"", b"\0", b"\0\0\0\2\0\0\0\0\0\x35no", b"\0\0\0\3\0\0\x35no", b"\0\0\0\1\x7f\0\0"):
                association.udp.sendto(datagram, association.relay)
            self.sync(association)
            self.assertEqual(server.seen, [])

    def test_l5_an_association_ends_with_its_connection(self):
        before = self.net.status()["associations"]
        association = Association(self.net.socks)
        self.sync(association)
        self.assertEqual(self.net.status()["associations"], before + 1)
        self.assertEqual(sum(ask(node.control, "status")["associations"] for node in self.net.nodes), before + 1)
        association.close()
        wait_until(lambda: self.net.status()["associations"] == before)
        wait_until(lambda: sum(ask(node.control, "status")["associations"] for node in self.net.nodes) == before)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
            late.connect(association.relay)
            late.settimeout(60)
            late.send(b"late")
            self.assertRaises(ConnectionRefusedError, late.recv, 1)

    def test_l5_an_idle_association_ends(self):
        proxy, control = self.second_client("--udp-idle", "1")
        with Association(proxy) as association:
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                association.exchange("127.0.0.1", self.echo.port, b"alive")
            self.assertTrue(association.ended())
        wait_until(lambda: ask(control, "status")["associations"] == 0)

    def test_associations_survive_a_dying_leg_and_keep_their_port(self):
        with Devnet() as net, UDPServer() as server, Association(net.socks) as association:
            association.exchange("127.0.0.1", server.port, b"before")
            path = next(path for path in net.paths() if path["active"])
            os.kill(net.node(path["hops"][1]).pid, signal.SIGKILL)
            data = os.urandom(3_000)
            self.assertEqual(association.exchange("127.0.0.1", server.port, data, tries=40, timeout=0.5)[2], data)
            self.assertEqual(len({source for _, source in server.seen}), 1)

    def test_associations_of_one_user_share_a_session_and_others_have_their_own(self):
        before = self.net.status()["sessions"]
        for user in ("carol", "dave", "carol"):
            self.sync(self.associate(user=user))
        self.assertEqual(self.net.status()["sessions"], before + 2)

    def test_a_unix_socket_has_no_udp(self):
        with tempfile.TemporaryDirectory(prefix="tunic-test-") as folder:
            path = os.path.join(folder, "apps.sock")
            self.second_client("--socks", f"unix:{path}")
            with socket.socket(socket.AF_UNIX) as app:
                app.settimeout(60)
                app.connect(path)
                app.sendall(b"\5\1\0\5\3\0\1\0\0\0\0\0\0")
                answer = b""
                while part := app.recv(100):
                    answer += part
                self.assertEqual(answer, b"\5\0\5\7\0\1\0\0\0\0\0\0")

    def test_nothing_is_left_of_associations(self):
        """TUNIC_ASSOCIATIONS (60) associations, 20 at a time."""

        def run(count):
            for _ in range(count // 20):
                group = [Association(self.net.socks) for _ in range(20)]
                for number, association in enumerate(group):
                    association.send("127.0.0.1" if number % 2 else "localhost", self.echo.port, bytes(50))
                group[0].exchange("127.0.0.1", self.echo.port, b"x")
                for association in group:
                    association.close()
            wait_until(lambda: self.net.status()["associations"] == 0)
            for node in self.net.nodes:
                wait_until(lambda: ask(node.control, "status")["associations"] == 0)

        run(min(COUNT, 200))
        controls = dict(zip(self.net.pids, [self.net.control, *(node.control for node in self.net.nodes)]))
        before = {pid: (descriptors(control), resident(pid)) for pid, control in controls.items()}
        run(COUNT)
        for pid, (files, memory) in before.items():
            self.assertLessEqual(descriptors(controls[pid]), files + 2)
            # This allows for the allocator and the kernel's accounting.
            self.assertLess(resident(pid), memory + 4_096)
        if COUNT > 200:
            growth = {resident(pid) - memory for pid, (_, memory) in before.items()}
            print(f"\n{COUNT} associations: at most {max(growth)} kB more in a process")

    @unittest.skipUnless(COUNT > 200, "by TUNIC_ASSOCIATIONS")
    def test_too_many_associations_are_refused(self):
        code = None
        with contextlib.ExitStack() as stack:
            try:
                for _ in range(1_100):
                    stack.enter_context(Association(self.net.socks))
            except SocksError as error:
                code = error.code
        # Either the client's limit, or the exit's limit on new streams per second.
        self.assertEqual(code, 1)
        wait_until(lambda: self.net.status()["associations"] == 0)


if __name__ == "__main__":
    unittest.main()
