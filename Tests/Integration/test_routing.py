"""The binary as processes: a whole network on loopback, and real clients."""

import concurrent.futures
import contextlib
import os
import pathlib
import pwd
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from devnet import Devnet, ask, resident, wait_until
from network import free_port
from peers import Peer, SocksError, blocks, digest, download, read_exactly, socks_connect, upload

MIB = 1 << 20
GIB = 1 << 30


def accepts(port):
    """Whether a process on this machine accepts connections at the port."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Routing(unittest.TestCase):
    """One network for all tests that leave its nodes alive."""

    @classmethod
    def setUpClass(cls):
        cls.net = cls.enterClassContext(Devnet())
        cls.peer = cls.enterClassContext(Peer())

    def test_curl_fetches_over_three_hops_in_separate_processes(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "page"), "wb") as file:
                file.write(os.urandom(300_000))
            server = subprocess.Popen(
                ["python3", "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            try:
                port = server.stdout.readline().split()[5]
                page = subprocess.run(
                    ["curl", "-sS", "--max-time", "30", "--socks5-hostname", "%s:%d" % self.net.socks,
                     f"http://localhost:{port}/page"],
                    check=True, capture_output=True).stdout
                with open(os.path.join(folder, "page"), "rb") as file:
                    self.assertEqual(page, file.read())
            finally:
                server.terminate()
                server.wait()
                server.stdout.close()
        self.assertEqual(len({node.pid for node in self.net.nodes}), 6)
        active = [path for path in self.net.paths() if path["active"]]
        self.assertTrue(active)
        self.assertTrue(all(len(set(path["hops"])) == 3 for path in active))

    def test_one_gibibyte_down_and_up_arrives_unchanged(self):
        self.assertEqual(download(self.net.socks, self.peer.port, GIB), digest(GIB))
        self.assertEqual(upload(self.net.socks, self.peer.port, GIB), (GIB, digest(GIB)))

    def test_64_downloads_at_once_are_all_right(self):
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            sizes = [MIB + 1000 * index for index in range(64)]
            got = list(pool.map(lambda size: download(self.net.socks, self.peer.port, size), sizes))
        self.assertEqual(got, [digest(size) for size in sizes])

    def test_half_close_lets_the_answer_come(self):
        with socks_connect(self.net.socks, "127.0.0.1", self.peer.port, early=b"late 200000\n") as sock:
            sock.sendall(b"x" * 5000)
            sock.shutdown(socket.SHUT_WR)
            count = 0
            while part := sock.recv(65536):
                count += len(part)
        self.assertEqual(count, 200_000)

    def test_l9_what_an_app_sends_before_the_reply_arrives_once(self):
        body = os.urandom(30_000)
        request = b"\x05\x01\x00" + b"\x05\x01\x00\x01" + socket.inet_aton("127.0.0.1") + self.peer.port.to_bytes(2, "big")
        for size in (1, 5_000, 30_000):
            with socket.create_connection(self.net.socks, timeout=60) as sock:
                sock.sendall(request + b"echo\n" + body[:size])
                self.assertEqual(read_exactly(sock, 2 + 10)[:4], b"\x05\x00\x05\x00")
                self.assertEqual(read_exactly(sock, size), body[:size])
                sock.sendall(b"and on")
                self.assertEqual(read_exactly(sock, 6), b"and on")
                sock.shutdown(socket.SHUT_WR)
                self.assertEqual(sock.recv(1), b"")

    def test_l9_what_is_sent_ahead_beyond_what_is_kept_waits_with_the_app(self):
        for size in (70_000, 1_000_000):
            with self.subTest(size), socket.create_connection(self.net.socks, timeout=40) as sock:
                # A new user, so that there is no session yet.
                user = os.urandom(4).hex().encode()
                sock.sendall(
                    b"\x05\x01\x02" + b"\x01\x08" + user + b"\x01x"
                    + b"\x05\x01\x00\x01\x7f\0\0\1" + self.peer.port.to_bytes(2, "big")
                    + b"put\n" + b"".join(blocks(size)))
                sock.shutdown(socket.SHUT_WR)
                self.assertEqual(read_exactly(sock, 4 + 10)[:6], b"\x05\x02\x01\x00\x05\x00")
                answer = b""
                while part := sock.recv(1000):
                    answer += part
                self.assertEqual(answer.decode().split(), [str(size), digest(size)])

    def test_l10_a_reset_of_the_server_reaches_the_app(self):
        with socks_connect(self.net.socks, "127.0.0.1", self.peer.port, early=b"reset\n") as sock:
            self.assertEqual(read_exactly(sock, 1), b"r")
            sock.sendall(b"x")
            with self.assertRaises(ConnectionResetError):
                read_exactly(sock, 1)

    def test_l10_a_reset_of_the_app_reaches_the_server_and_an_end_is_none(self):
        for name in ("reset", "end"):
            self.peer.ends.clear()
            with socks_connect(self.net.socks, "127.0.0.1", self.peer.port, early=b"watch\n") as sock:
                self.assertEqual(read_exactly(sock, 1), b"w")
                if name == "reset":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wait_until(lambda: self.peer.ends)
            self.assertEqual(self.peer.ends, [name])

    def test_apps_that_break_off_before_the_reply_leave_nothing(self):
        with socket.create_server(("127.0.0.1", 0), backlog=256) as silent:
            request = b"\x05\x01\x00" + b"\x05\x01\x00\x01\x7f\0\0\1" + silent.getsockname()[1].to_bytes(2, "big")
            for number in range(100):
                with socket.create_connection(self.net.socks) as app:
                    app.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    app.sendall(request)
                    time.sleep(number / 50_000)
            self.nothing_is_left()

    def test_a_server_that_closes_first_and_an_app_that_breaks_off_leave_nothing(self):
        with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
            for _ in range(8):
                with socks_connect(self.net.socks, "127.0.0.1", server.getsockname()[1]) as app:
                    connection, _ = server.accept()
                    with connection:
                        app.sendall(b"q")
                        connection.recv(1)
                        connection.sendall(bytes(1000))
                    # The end has arrived, and the app has read nothing.
                    time.sleep(0.05)
                    app.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.nothing_is_left()

    def nothing_is_left(self):
        controls = [self.net.control, *(node.control for node in self.net.nodes)]
        wait_until(lambda: all(ask(control, "status")["streams"] == 0 for control in controls))

    def test_apps_that_wait_for_the_reply_before_they_speak_are_served(self):
        for _ in range(300):
            with socks_connect(self.net.socks, "127.0.0.1", self.peer.port) as sock:
                sock.sendall(b"get 8\n")
                read_exactly(sock, 8)
                self.assertEqual(sock.recv(1), b"")

    def test_uploads_that_pause_leave_room_to_others(self):
        """R5: the buffer limit of streams is shared: 64 of one session stop in the middle, and one more continues."""
        size, pausing = MIB, 64
        received = [0] * (pausing + 1)
        with socket.create_server(("127.0.0.1", 0), backlog=128) as server, contextlib.ExitStack() as apps:
            def read(connection):
                with connection:
                    place = connection.recv(1)[0]
                    received[place] = 1
                    while piece := connection.recv(1 << 18):
                        received[place] += len(piece)

            def accept():
                for _ in range(pausing + 1):
                    threading.Thread(target=read, args=(server.accept()[0],), daemon=True).start()

            threading.Thread(target=accept, daemon=True).start()
            port = server.getsockname()[1]

            def send(place):
                app = apps.enter_context(socks_connect(self.net.socks, "127.0.0.1", port))
                app.sendall(bytes([place]) + bytes(size - 1))

            with concurrent.futures.ThreadPoolExecutor(pausing) as pool:
                list(pool.map(send, range(pausing)))
            wait_until(lambda: received[:pausing] == [size] * pausing, 60)
            send(pausing)
            wait_until(lambda: received[pausing] == size)

    def test_replies_name_the_exits_real_errors(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
        for host, port, code in [
            ("127.0.0.1", port, 5),  # refused
            ("no-such-host.invalid", 80, 4),  # host not found
            ("10.0.0.1", 80, 2),  # not allowed by the exit's policy
            ("127.0.0.1", 25, 2),  # port 25
        ]:
            with self.subTest(host=host, port=port), self.assertRaises(SocksError) as caught:
                socks_connect(self.net.socks, host, port)
            self.assertEqual(caught.exception.code, code)

    def test_different_credentials_never_share_a_path(self):
        socks = [socks_connect(self.net.socks, "127.0.0.1", self.peer.port, user=name, early=b"echo\n") for name in ("a", "b")]
        try:
            for sock in socks:
                sock.sendall(b"ping")
                self.assertEqual(read_exactly(sock, 4), b"ping")
            active = [tuple(path["hops"]) for path in self.net.paths() if path["active"]]
            self.assertGreaterEqual(len(active), 2)
        finally:
            for sock in socks:
                sock.close()

    def test_an_app_that_stops_reading_holds_up_nobody_and_fills_no_memory(self):
        before = resident(self.net.client_pid)
        with socks_connect(self.net.socks, "127.0.0.1", self.peer.port, early=b"get %d\n" % GIB) as lazy:
            read_exactly(lazy, 1000)
            time.sleep(1)
            self.assertEqual(download(self.net.socks, self.peer.port, 8 * MIB), digest(8 * MIB))
            self.assertLess(resident(self.net.client_pid) - before, 60 * MIB)

    def start_sshd(self, folder, port):
        """An SSH server of the user who runs this."""
        program = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")
        if not program:
            self.skipTest("no sshd")
        if os.path.basename(pwd.getpwuid(os.geteuid()).pw_shell) in ("nologin", "false"):
            self.skipTest("nobody may log in as the user who runs this")
        command = [program, "-D", "-e", "-f", "/dev/null", "-p", str(port), "-h", f"{folder}/host",
                   "-o", f"AuthorizedKeysFile={folder}/authorized_keys", "-o", "StrictModes=no", "-o", "PidFile=none",
                   "-o", "ListenAddress=127.0.0.1", "-o", "UsePAM=no"]
        if os.geteuid() == 0:
            # Root's server needs a user and a folder, which only an installed server has. It gets them in a namespace
            # of its own.
            users = pathlib.Path("/etc/passwd").read_text()
            if not any(entry.pw_name == "sshd" for entry in pwd.getpwall()):
                users += "sshd:x:65534:65534::/run/sshd:/usr/sbin/nologin\n"
            (pathlib.Path(folder) / "passwd").write_text(users)
            command = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/passwd && mount -t tmpfs -o mode=0755 none /run && '
                       'mkdir /run/sshd && exec "$@"', f"{folder}/passwd", *command]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(server.stderr.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        wait_until(lambda: accepts(port) or server.poll() is not None)
        if server.poll() is not None:
            error = server.stderr.read()
            if "unshare" in error or "mount" in error:
                self.skipTest(f"no mount namespace can be made here: {error}")
            self.fail(error)

    @unittest.skipUnless(shutil.which("ssh") and shutil.which("ssh-keygen"), "no ssh")
    def test_ssh_by_proxy_command(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("host", "user"):
                subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{folder}/{name}"], check=True)
            shutil.copy(f"{folder}/user.pub", f"{folder}/authorized_keys")
            port = free_port()
            self.start_sshd(folder, port)
            here = os.path.dirname(os.path.abspath(__file__))
            output = subprocess.run(
                ["ssh", "-F", "/dev/null", "-i", f"{folder}/user", "-o", "StrictHostKeyChecking=no",
                 "-o", f"UserKnownHostsFile={folder}/known", "-o", "BatchMode=yes", "-p", str(port),
                 "-o", f"ProxyCommand={sys.executable} {here}/netcat.py {self.net.socks[0]}:{self.net.socks[1]} %h %p",
                 "127.0.0.1", "seq 1 20000 | tail -1"],
                capture_output=True, text=True, timeout=60)
            self.assertEqual(output.stdout.strip(), "20000", output.stderr)


class Rotation(unittest.TestCase):
    """Paths that are used for only three seconds."""

    def test_streams_outlive_their_paths(self):
        with Devnet(arguments=["--path-use", "3"]) as net, Peer() as peer:
            with socks_connect(net.socks, "127.0.0.1", peer.port, early=b"echo\n") as idle:
                end = time.monotonic() + 12
                while time.monotonic() < end:
                    self.assertEqual(download(net.socks, peer.port, 20 * MIB), digest(20 * MIB))
                    idle.sendall(b"still")
                    self.assertEqual(read_exactly(idle, 5), b"still")
            later = net.paths()
            self.assertTrue(all(path["age_s"] < 8 for path in later), later)
            self.assertLess(len(later), 12)


if __name__ == "__main__":
    unittest.main()
