"""DNS at the client's port, answered by the exit's name servers; and names and options of the proxies that go with it."""
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import unittest

from devnet import ask
from nameserver import Answer, NameServer, ask_tcp, ask_udp, labels, query, text
from network import Network, free_port
from peers import SocksError, socks_connect
from udp import Association, UDPServer

LONG = [text(os.urandom(200)) for _ in range(10)]
ZONE = {
    ("a.example.org", "A"): [bytes([127, 0, 0, 1]), bytes([127, 0, 0, 2])],
    ("a.example.org", "AAAA"): [bytes(15) + b"\1"],
    ("www.example.org", "CNAME"): [labels("alias.example.org")],
    ("alias.example.org", "CNAME"): [labels("a.example.org")],
    ("a.example.org", "TXT"): [text(b"hello", b"world"), text(b"")],
    ("a.example.org", "MX"): [struct.pack(">H", 10) + labels("mail.example.org")],
    ("_xmpp._tcp.example.org", "SRV"): [struct.pack(">3H", 1, 2, 5222) + labels("a.example.org")],
    ("a.example.org", "HTTPS"): [b"\0\1\0" + struct.pack(">HH", 1, 3) + b"\2h2"],
    ("1.0.0.127.in-addr.arpa", "PTR"): [labels("home.example.org")],
    ("1.0.0.10.in-addr.arpa", "PTR"): [labels("secret.example.org")],
    ("inside.example.org", "A"): [bytes([10, 0, 0, 1])],
    ("mixed.example.org", "A"): [bytes([10, 0, 0, 1]), bytes([127, 0, 0, 3])],
    ("long.example.org", "TXT"): LONG,
    ("silent.example.org", "A"): None,
    ("broken.example.org", "A"): "fail",
    ("lies.example.org", "A"): [bytes(3)],
}


class DNS(unittest.TestCase):
    """One network for all, whose exit asks the tests' name server."""

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(NameServer(ZONE))
        cls.net = cls.enterClassContext(Network(
            [[f"127.0.0.1:{free_port()}"] for _ in range(4)],
            exit_options=["--exit-resolver", f"127.0.0.1:{cls.server.port}"],
            client_options=["--dns", "127.0.0.1:0", "--dns", "127.0.0.1:0", "--socks", "127.0.0.1:0,names-only"]))
        cls.net.start()
        status = cls.net.client.status()
        cls.dns, cls.other = [("127.0.0.1", int(address.rpartition(":")[2])) for address in status["dns"]]
        cls.proxy, cls.strict = [("127.0.0.1", int(address.rpartition(":")[2])) for address in status["socks"]]

    def ask(self, name, kind, **options):
        """The answer over UDP and over TCP, which must be the same."""
        message = query(name, kind, **options)
        over_udp = ask_udp(self.dns, message)
        over_tcp = ask_tcp(self.dns, message)[7]
        self.assertEqual(over_udp.code, over_tcp.code)
        self.assertEqual(over_udp.data, over_tcp.data)
        return over_tcp

    def test_records_of_each_type(self):
        for (name, kind), data in ZONE.items():
            if kind == "CNAME" or not isinstance(data, list) or name.split(".")[0] in ("inside", "mixed", "lies", "long"):
                continue
            if name.startswith("1.0.0.10."):
                continue
            with self.subTest(name=name, kind=kind):
                answer = self.ask(name, kind)
                self.assertEqual((answer.code, answer.data), (0, data))
                self.assertTrue(all(0 < ttl <= 60 for _, _, ttl, _ in answer.records))
        self.assertEqual(self.ask("www.example.org", "A").data, ZONE["a.example.org", "A"])
        self.assertEqual(self.ask("www.example.org", "CNAME").data, [labels("alias.example.org")])

    def test_what_fails_says_how(self):
        for name, kind, code in [
            ("no-such-name.example.org", "A", 3),
            ("a.example.org", "SRV", 0),  # no such record
            ("broken.example.org", "A", 2),
            ("lies.example.org", "A", 2),
            ("inside.example.org", "A", 5),  # the exit's own network
            ("1.0.0.10.in-addr.arpa", "PTR", 5),
            ("a.example.org", 255, 4), ("a.example.org", 252, 4), ("a.example.org", 6, 4),
            ("a b.example.org", "A", 5), ("", "A", 5), ("127.1", "A", 5),
        ]:
            with self.subTest(name=name, kind=kind):
                answer = self.ask(name, kind)
                self.assertEqual((answer.code, answer.records), (code, []))
        self.assertEqual(self.ask("mixed.example.org", "A").data, [bytes([127, 0, 0, 3])])
        self.assertNotIn(("1.0.0.10.in-addr.arpa", "PTR"), self.server.asked)

    def test_r14_a_resolver_that_validates_is_told_and_the_guide_says_so(self):
        for kind in (43, 48):  # DS, DNSKEY
            self.assertEqual(self.ask("example.org", kind).code, 4)
        guide = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "user-guide.md").read_text()
        unbound = guide.partition("Tunic does not carry DNSKEY and DS")[2].partition("forward-zone:")[0]
        self.assertIn('module-config: "iterator"', unbound)

    def test_names_that_no_server_hears_of(self):
        node = "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyo.snode"
        refused = self.ask(node, "A", edns=1232)
        self.assertEqual((refused.code, refused.errors), (5, [(18, "names that end in .snode are not served")]))
        self.assertEqual(self.ask("localhost", "A").data, [bytes([127, 0, 0, 1])])
        self.assertEqual(self.ask("app.localhost", "AAAA").data, [bytes(15) + b"\1"])
        for name in ("printer.local", "x.onion", "y.invalid"):
            self.assertEqual(self.ask(name, "A").code, 3)
        heard = {name.rpartition(".")[2] for name, _ in self.server.asked}
        self.assertFalse(heard & {"snode", "localhost", "local", "onion", "invalid"}, heard)

    def test_long_answers_are_cut_over_udp_and_whole_over_tcp(self):
        for edns in (None, 512, 4096):
            answer = ask_udp(self.dns, query("long.example.org", "TXT", edns=edns))
            self.assertTrue(answer.is_cut)
            self.assertEqual(answer.records, [])
        whole = ask_tcp(self.dns, query("long.example.org", "TXT"))[7]
        self.assertFalse(whole.is_cut)
        self.assertEqual(whole.data, LONG)

    def test_queries_behind_each_other_on_one_connection(self):
        names = [("a.example.org", "A"), ("silent.example.org", "A"), ("a.example.org", "TXT"), ("localhost", "A")]
        answers = ask_tcp(
            self.dns, *(query(name, kind, id=number) for number, (name, kind) in enumerate(names) if number != 1))
        self.assertEqual(sorted(answers), [0, 2, 3])
        self.assertEqual(answers[2].data, ZONE["a.example.org", "TXT"])

    def test_bytes_one_by_one_and_what_is_no_dns(self):
        message = query("a.example.org", "A")
        with socket.create_connection(self.dns, 15) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in struct.pack(">H", len(message)) + message:
                sock.sendall(bytes([byte]))
            stream = sock.makefile("rb")
            length, = struct.unpack(">H", stream.read(2))
            self.assertEqual(Answer(stream.read(length)).data, ZONE["a.example.org", "A"])
        with socket.create_connection(self.dns, 15) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            try:
                self.assertEqual(sock.recv(1), b"")
            except ConnectionResetError:
                pass
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(self.dns)
            sock.settimeout(0.3)
            for junk in (b"", b"x", bytes(11), query("a.example.org", "A", flags=0x8100)):
                sock.send(junk)
            self.assertRaises(TimeoutError, sock.recv, 1)

    def test_l1_names_that_nobody_has_to_hear_of_stay_here(self):
        names = ["y" * 52 + ".snode", "printer.local", "x.onion", "y.invalid"]
        before = len(self.server.asked)
        for name in names:
            with self.assertRaises(SocksError) as refused:
                socks_connect(self.proxy, name, 80)
            self.assertEqual(refused.exception.code, 4)
        with Association(self.proxy) as association, UDPServer() as echo:
            for name in names:
                association.send(name, echo.port, b"x")
            self.assertEqual(association.exchange("a.example.org", echo.port, b"y")[2], b"y")
        heard = {name.rpartition(".")[2] for name, _ in self.server.asked[before:]}
        self.assertFalse(heard & {"snode", "local", "onion", "invalid"}, heard)

    def test_answers_are_kept_for_each_port_by_itself(self):
        name = "kept.example.org"
        ZONE[name, "A"] = [bytes([127, 0, 0, 9])]
        self.addCleanup(ZONE.pop, (name, "A"))
        for _ in range(3):
            ask_udp(self.dns, query(name, "A"))
            ask_udp(self.dns, query(name.upper(), "A"))
        self.assertEqual(self.server.asked.count((name, "A")), 1)
        ask_udp(self.other, query(name, "A"))
        self.assertEqual(self.server.asked.count((name, "A")), 2)
        # After `newpath` no answer is kept: a kept answer would tell the next exit that the same client asks.
        ask(self.net.client.control, "newpath")
        ask_udp(self.dns, query(name, "A"))
        self.assertEqual(self.server.asked.count((name, "A")), 3)

    @unittest.skipUnless(shutil.which("dig"), "needs dig")
    def test_dig(self):
        def dig(*arguments):
            return subprocess.run(
                ["dig", "+short", "+tries=1", "+time=10", "@127.0.0.1", "-p", str(self.dns[1]), *arguments],
                capture_output=True, text=True, timeout=30).stdout.split("\n")[:-1]

        self.assertEqual(dig("a.example.org"), ["127.0.0.1", "127.0.0.2"])
        self.assertEqual(dig("a.example.org", "AAAA"), ["::1"])
        self.assertEqual(dig("www.example.org"), ["127.0.0.1", "127.0.0.2"])
        self.assertEqual(dig("a.example.org", "MX"), ["10 mail.example.org."])
        self.assertEqual(dig("_xmpp._tcp.example.org", "SRV"), ["1 2 5222 a.example.org."])
        self.assertEqual(dig("-x", "127.0.0.1"), ["home.example.org."])
        self.assertEqual(dig("a.example.org", "TXT"), ['"hello" "world"', '""'])
        self.assertEqual(dig("a.example.org", "HTTPS"), ['1 . alpn="h2"'])
        self.assertEqual(len(dig("long.example.org", "TXT")), 10)  # cut over UDP, asked again over TCP
        self.assertEqual(len(dig("+tcp", "long.example.org", "TXT")), 10)

    def test_names_of_datagrams_by_the_same_servers(self):
        with UDPServer() as echo, Association(self.proxy) as association:
            self.assertEqual(association.exchange("a.example.org", echo.port, b"x"), ("a.example.org", echo.port, b"x"))
            # A name of the exit's own network gets no answer.
            association.send("inside.example.org", echo.port, b"y")
            self.assertEqual(association.exchange("a.example.org", echo.port, b"z")[2], b"z")
            self.assertEqual(self.server.asked.count(("a.example.org", "A")) > 0, True)

    def test_e1_e2_a_name_of_an_address_that_is_closed_leads_nowhere(self):
        """The policy is checked for the address of the connection, not for the requested name."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            for name in ("inside.example.org", "10.0.0.1"):
                with self.assertRaises(SocksError) as refused:
                    socks_connect(self.proxy, name, server.getsockname()[1])
                self.assertEqual(refused.exception.code, 2, name)
            # Of several addresses the allowed ones are used.
            with socket.create_server(("127.0.0.3", 0)) as other:
                socks_connect(self.proxy, "mixed.example.org", other.getsockname()[1]).close()
                other.settimeout(60)
                other.accept()[0].close()

    def test_l1_addresses_are_refused_where_only_names_are_wanted(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            with self.assertRaises(SocksError) as refused:
                socks_connect(self.strict, "127.0.0.1", port)
            self.assertEqual(refused.exception.code, 2)
            socks_connect(self.strict, "a.example.org", port).close()
            socks_connect(self.proxy, "127.0.0.1", port).close()


if __name__ == "__main__":
    unittest.main()
