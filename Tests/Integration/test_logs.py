"""The processes' logs at the most verbose level."""
import base64
import contextlib
import os
import pathlib
import re
import socket
import tempfile
import time
import unittest

from devnet import Devnet, wait_until
from peers import Peer, SocksError, digest, download, read_exactly, socks_connect
from udp import Association, UDPServer

MIB = 1 << 20


def spellings(secret):
    """The usual text forms of bytes, without prefixes that others share."""
    return {
        secret.hex(), secret.hex().upper(), base64.b64encode(secret).decode().rstrip("="),
        base64.urlsafe_b64encode(secret).decode().rstrip("="), base64.b32encode(secret).decode().rstrip("="),
        base64.b32encode(secret).decode().rstrip("=").lower(), ", ".join(str(byte) for byte in secret),
    }


class Logs(unittest.TestCase):
    def test_k5_no_destination_no_address_no_user_and_no_key_is_logged(self):
        with tempfile.TemporaryDirectory() as folder, Peer() as peer:
            arguments = ["--dir", folder, "--log-level", "trace", "--path-use", "3"]
            ports = {peer.port}
            with Devnet(arguments=arguments) as net:
                ports.add(net.socks[1])
                self.use(net, peer, ports)
                keys = {file.read_bytes() for file in pathlib.Path(folder).rglob("*key*") if file.is_file()}
                used = {path["hops"][0] for path in net.paths()}
                net.node(used.pop()).kill()
                wait_until(lambda: self.works(net, peer))
            logs = {path.parent.name: path.read_text() for path in pathlib.Path(folder).rglob("log")}

        self.assertEqual(len(logs), 7)
        self.assertIn("a path is ready", logs["client"])
        self.assertTrue(keys)
        secrets = set().union(*(spellings(key[start:start + 32]) for key in keys for start in range(0, len(key) - 15, 32)))
        for name, log in logs.items():
            with self.subTest(log=name):
                for word in ("localhost", "no-such", "invalid", "alice", "bob", "carol", "echo"):
                    self.assertNotIn(word, log.lower())
                # Only the time of a line looks like an address.
                text = re.sub(r"^\S+Z ", "", log, flags=re.MULTILINE)
                # A node logs its own id and address, and a client logs its listeners.
                text = re.sub(r"^notice the relay (listens|is ready) .*$", "", text, flags=re.MULTILINE)
                text = re.sub(r"^notice ready: .*$", "", text, flags=re.MULTILINE)
                self.assertNotRegex(text, r"\d+\.\d+\.\d+\.\d+|::")
                self.assertFalse({int(number) for number in re.findall(r"\d+", text)} & ports)
                for secret in secrets:
                    self.assertNotIn(secret, text)
                self.assertNotRegex(text, r"[0-9a-fA-F]{32}|[0-9A-Za-z+/_-]{40}")
                # Times are in whole seconds.
                self.assertTrue(all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line) for line in log.splitlines()), log)

    def works(self, net, peer):
        try:
            return download(net.socks, peer.port, MIB) == digest(MIB)
        except (SocksError, OSError, EOFError):
            return False

    def use(self, net, peer, ports):
        """Requests that succeed and fail in all ways; the apps' own ports go to `ports`."""
        self.assertEqual(download(net.socks, peer.port, 4 * MIB), digest(4 * MIB))
        for host, user in (("localhost", None), ("127.0.0.1", "alice"), ("localhost", "bob")):
            with socks_connect(net.socks, host, peer.port, user=user, early=b"echo\n") as sock:
                ports.add(sock.getsockname()[1])
                sock.sendall(b"ping")
                self.assertEqual(read_exactly(sock, 4), b"ping")
        for host, port in (("no-such-host.invalid", 80), ("10.0.0.1", 80), ("127.0.0.1", 25), ("127.0.0.1", 1)):
            with self.assertRaises(SocksError):
                socks_connect(net.socks, host, port)
        for garbage in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x05\x01\x00\x05\x02\x00\x01" + bytes(6)):
            with socket.create_connection(net.socks, timeout=60) as sock, contextlib.suppress(ConnectionError):
                ports.add(sock.getsockname()[1])
                sock.sendall(garbage)
                while sock.recv(100):
                    pass
        with UDPServer() as echo, Association(net.socks, user="carol") as association:
            ports.update((echo.port, association.relay[1], association.udp.getsockname()[1]))
            association.exchange("localhost", echo.port, b"ping")
            association.send("no-such-host.invalid", echo.port, b"nowhere")
            association.send("10.0.0.1", echo.port, b"nowhere")
        # Old paths end and new ones are built.
        self.assertTrue(net.paths())
        began = time.monotonic()
        wait_until(lambda: all(path["age_s"] < time.monotonic() - began for path in net.paths()))


if __name__ == "__main__":
    unittest.main(verbosity=2)
