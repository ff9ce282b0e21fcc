"""The library in other programs: its C interface, used from C and from Python."""
import ctypes
import hashlib
import http.server
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from devnet import ROOT, Devnet

PAGE = os.urandom(60_000).hex().encode()
CLOSED, BAD_ARGUMENT, IN_USE, NETWORK_FILE, TIMED_OUT, REFUSED, NOT_SENT = -5, -6, -3, -1, -8, -9, -12


def library():
    """The folder with libTunicC.so, or None."""
    for folder in filter(None, (os.environ.get("TUNIC_LIBRARY"), ROOT / ".build/release", ROOT / ".build/debug")):
        if (pathlib.Path(folder) / "libTunicC.so").exists():
            return pathlib.Path(folder).resolve()
    return None


LIBRARY = library()


def signals():
    """The signals that this process blocks, ignores and handles, except those of crashes, which the Swift runtime handles."""
    fields = dict(line.split(":\t") for line in pathlib.Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    crashes = sum(1 << number - 1 for number in (
        signal.SIGQUIT, signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV, 33))
    return [int(fields[name], 16) & ~crashes for name in ("SigBlk", "SigIgn", "SigCgt")]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_):
        pass


def sums(listener):
    """Answers each connection with the digest of all received bytes, after its half has ended."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=sum_up, args=(connection,), daemon=True).start()


def sum_up(connection):
    digest = hashlib.sha256()
    with connection:
        while part := connection.recv(65536):
            digest.update(part)
        connection.sendall(digest.digest())


@unittest.skipUnless(LIBRARY, "no libTunicC.so: swift build")
class Library(unittest.TestCase):
    """One network and one client for all."""

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="tunic-test-"))
        cls.net = cls.enterClassContext(Devnet(arguments=("--dir", f"{cls.folder}/net")))
        cls.network = os.fsencode(f"{cls.folder}/net/network.json")
        # Python ignores SIGPIPE, which the library must not do.
        cls.addClassCleanup(signal.signal, signal.SIGPIPE, signal.signal(signal.SIGPIPE, lambda *_: None))
        cls.signals = signals()
        cls.tunic = ctypes.CDLL(str(LIBRARY / "libTunicC.so"))
        cls.tunic.tunic_last_error.restype = ctypes.c_char_p
        for name in ("tunic_wait_ready", "tunic_open", "tunic_udp_open", "tunic_udp_send", "tunic_udp_receive",
                     "tunic_udp_close", "tunic_shut_down"):
            getattr(cls.tunic, name).argtypes = None
        cls.client = cls.start(f"{cls.folder}/client")
        cls.addClassCleanup(lambda: cls.tunic.tunic_shut_down(cls.client))

    @classmethod
    def start(cls, folder):
        client = ctypes.c_void_p()
        code = cls.tunic.tunic_start(ctypes.c_char_p(cls.network), os.fsencode(folder), 0, ctypes.byref(client))
        if code:
            raise RuntimeError(cls.error())
        return client

    @classmethod
    def error(cls):
        return cls.tunic.tunic_last_error().decode()

    def open(self, port, host=b"localhost", isolation=b""):
        number = self.tunic.tunic_open(self.client, host, ctypes.c_uint16(port), isolation)
        self.assertGreaterEqual(number, 0, self.error() if number < 0 else "")
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=number)
        self.addCleanup(stream.close)
        stream.settimeout(60)
        return stream

    def serve_page(self):
        server = self.enterContext(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def test_e_a_program_in_c_fetches_a_page(self):
        compiler = shutil.which("cc") or shutil.which("clang") or shutil.which("gcc")
        if not compiler:
            self.skipTest("no C compiler")
        server = self.serve_page()
        program = f"{self.folder}/fetch"
        subprocess.run([compiler, "-Wall", "-Wextra", "-Werror", "-I", ROOT / "Sources/TunicC",
                        ROOT / "contrib/examples/c/fetch.c", "-L", LIBRARY, f"-Wl,-rpath,{LIBRARY}", "-lTunicC", "-o", program],
                       check=True)
        done = subprocess.run([program, self.network, f"{self.folder}/c", "localhost", str(server.server_port), "/"],
                              capture_output=True, timeout=90)
        self.assertEqual(done.returncode, 0, done.stderr)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        self.assertIn(b"200", head)
        self.assertEqual(body, PAGE)
        # A missing network file gives one message and status 1.
        done = subprocess.run([program, "/nowhere", f"{self.folder}/c2", "localhost", "80", "/"], capture_output=True, timeout=30)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"/nowhere: No such file", done.stderr)

    def test_e_a_program_in_swift_fetches_a_page(self):
        program = LIBRARY / "fetch"
        if not program.exists():
            self.skipTest("no fetch: swift build --package-path contrib/examples/swift --scratch-path .build")
        server = self.serve_page()
        done = subprocess.run([program, self.network, f"{self.folder}/swift", "localhost", str(server.server_port), "/"],
                              capture_output=True, timeout=90)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.partition(b"\r\n\r\n")[2], PAGE)

    def test_streams_of_several_threads_keep_every_byte(self):
        self.assertEqual(self.tunic.tunic_wait_ready(self.client, 60_000), 0)
        listener = self.enterContext(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=sums, args=(listener,), daemon=True).start()
        port = listener.getsockname()[1]
        results = []

        def send(number):
            data = os.urandom(1_000_000 + number)
            stream = self.open(port, isolation=b"thread %d" % (number % 2))
            stream.sendall(data)
            stream.shutdown(socket.SHUT_WR)
            got = b""
            while part := stream.recv(65536):
                got += part
            results.append(got == hashlib.sha256(data).digest())

        threads = [threading.Thread(target=send, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90)
        self.assertEqual(results, [True] * 6)

    def test_datagrams_go_both_ways(self):
        server = self.enterContext(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        server.bind(("127.0.0.1", 0))
        server.settimeout(60)
        sockets = ctypes.c_void_p()
        self.assertEqual(self.tunic.tunic_udp_open(self.client, b"udp", ctypes.byref(sockets)), 0)
        self.addCleanup(lambda: self.tunic.tunic_udp_close(sockets))
        port = ctypes.c_uint16(server.getsockname()[1])
        memory, host, source = ctypes.create_string_buffer(2_000), ctypes.create_string_buffer(256), ctypes.c_uint16()
        for limit in (50, 0):
            self.assertEqual(
                self.tunic.tunic_udp_receive(sockets, memory, ctypes.c_size_t(2_000), None, None, limit), TIMED_OUT)
        self.assertEqual(self.tunic.tunic_udp_send(sockets, b"hidden.onion", port, b"x", ctypes.c_size_t(1)), REFUSED)
        self.assertEqual(self.tunic.tunic_udp_send(sockets, b"127.0.0.1", port, b"question", ctypes.c_size_t(8)), 0)
        data, peer = server.recvfrom(2_000)
        self.assertEqual(data, b"question")
        server.sendto(b"answer!", peer)
        # A caller that polls without waiting gets the datagram too, and earlier polls lose nothing.
        end = time.monotonic() + 60
        count = TIMED_OUT
        while count == TIMED_OUT and time.monotonic() < end:
            count = self.tunic.tunic_udp_receive(
                sockets, memory, ctypes.c_size_t(2_000), host, ctypes.byref(source), 0)
        self.assertEqual((memory.raw[:count], host.value, source.value), (b"answer!", b"127.0.0.1", port.value))
        self.assertLess(self.tunic.tunic_udp_send(sockets, b"127.0.0.1", port, os.urandom(70_000), ctypes.c_size_t(70_000)), 0)

    def test_wrong_use_is_an_error(self):
        port = ctypes.c_uint16(80)
        self.assertEqual(self.tunic.tunic_open(None, b"localhost", port, None), BAD_ARGUMENT)
        self.assertEqual(self.tunic.tunic_open(self.client, None, port, None), BAD_ARGUMENT)
        self.assertEqual(self.tunic.tunic_open(self.client, b"no host", port, None), BAD_ARGUMENT)
        self.assertEqual(self.tunic.tunic_open(self.client, b"localhost", ctypes.c_uint16(0), None), BAD_ARGUMENT)
        self.assertIn("a host, a port", self.error())
        with socket.create_server(("127.0.0.1", 0)) as listener:
            unused = listener.getsockname()[1]
        self.assertEqual(self.tunic.tunic_open(self.client, b"127.0.0.1", ctypes.c_uint16(unused), None), REFUSED)
        self.assertIn("connectionRefused", self.error())
        # Streams that could not be opened leave no descriptor behind.
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            self.assertEqual(self.tunic.tunic_open(self.client, b"hidden.onion", port, None), REFUSED)
        end = time.monotonic() + 60
        while len(os.listdir("/proc/self/fd")) > before and time.monotonic() < end:
            time.sleep(0.05)
        self.assertLessEqual(len(os.listdir("/proc/self/fd")), before)
        other = ctypes.c_void_p()
        start = self.tunic.tunic_start
        self.assertEqual(start(self.network, os.fsencode(f"{self.folder}/client"), 0, ctypes.byref(other)), IN_USE)
        self.assertEqual(start(b"/dev/null", os.fsencode(f"{self.folder}/x"), 0, ctypes.byref(other)), NETWORK_FILE)
        self.assertEqual(start(self.network, None, 0, ctypes.byref(other)), BAD_ARGUMENT)
        # Isolation texts that are not UTF-8 cannot be compared.
        self.assertEqual(self.tunic.tunic_open(self.client, b"localhost", port, b"\xfe"), BAD_ARGUMENT)
        self.tunic.tunic_shut_down(None)
        self.tunic.tunic_udp_close(None)

    def test_a_client_that_ends_ends_its_streams(self):
        listener = self.enterContext(socket.create_server(("127.0.0.1", 0)))
        client = self.start(f"{self.folder}/second")
        number = self.tunic.tunic_open(client, b"localhost", ctypes.c_uint16(listener.getsockname()[1]), None)
        self.assertGreaterEqual(number, 0)
        stream = self.enterContext(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=number))
        stream.settimeout(30)
        self.tunic.tunic_shut_down(client)
        self.assertEqual(stream.recv(1), b"")
        with self.assertRaises(BrokenPipeError):  # the process has kept its own way with SIGPIPE
            stream.sendall(b"late")
        self.assertEqual(signals(), self.signals)
        # Its folder is free again.
        self.tunic.tunic_shut_down(self.start(f"{self.folder}/second"))


if __name__ == "__main__":
    unittest.main()
