"""The commands beside a running client, as people use them. One file: all share one network."""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import pty
import re
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import termios
import threading
import time
import unittest

from devnet import answers, binary, wait_until
from network import Network, Process, free_port
from peers import SocksError, socks_connect
from served import Echo, Served
from test_command_line import run


@unittest.skipIf(os.path.exists("/run/tunic"), "commands ask the service of this machine")
class StandardControl(unittest.TestCase):
    """The README's devnet: the commands find its client where they look for any client."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="tunic-test-")
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name)
        self.environment = {"HOME": folder.name, "XDG_STATE_HOME": ""}
        self.control = self.home / ".local/state/tunic/control.sock"

    def devnet(self, *arguments):
        """A devnet of three nodes that is ready, and what it has printed."""
        process = subprocess.Popen(
            [binary(), "devnet", "--nodes", "3", "--exits", "1", "--socks", "127.0.0.1:0", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **self.environment})
        self.addCleanup(lambda: (process.kill(), process.wait(), process.stdout.close(), process.stderr.close()))
        text = ""
        while "Ctrl-C" not in text:
            line = process.stdout.readline()
            self.assertTrue(line, text)
            text += line
        return process, text

    def test_commands_find_the_client_of_a_devnet(self):
        process, text = self.devnet()
        self.assertIn("  tunic paths\n", text)
        for command in ("paths", "status", "web"):
            code, out, err = run(command, environment=self.environment)
            self.assertEqual(code, 0, err)
        # A second one leaves the first one's place alone, and says so.
        second, text = self.devnet()
        self.assertIn("Another process or file is where commands look", text)
        code, _, err = run(*re.search("tunic (paths --control .*)", text)[1].split(), environment=self.environment)
        self.assertEqual(code, 0, err)
        second.terminate()
        self.assertEqual(second.wait(60), 0)
        self.assertEqual(run("paths", environment=self.environment)[0], 0)
        process.terminate()
        self.assertEqual(process.wait(60), 0)
        self.assertFalse(self.control.parent.exists())

    def test_a_devnet_takes_no_place_of_another_file(self):
        self.control.parent.mkdir(parents=True)
        self.control.write_text("mine")
        process, text = self.devnet()
        self.assertRegex(text, "tunic paths --control .*\n")
        process.terminate()
        process.wait(60)
        self.assertEqual(self.control.read_text(), "mine")
        # What a killed process has left is no obstacle, and its folder stays.
        self.control.unlink()
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(self.control))
        process, text = self.devnet()
        self.assertIn("  tunic paths\n", text)
        process.terminate()
        process.wait(60)
        self.assertEqual(list(self.control.parent.iterdir()), [])


class Everyday(unittest.TestCase):
    """The commands beside a running client."""

    @classmethod
    def setUpClass(cls):
        cls.net = cls.enterClassContext(Network([[f"127.0.0.1:{free_port()}"] for _ in range(3)]))
        cls.echo = cls.enterClassContext(Served(Echo))
        cls.proxy = cls.net.start()
        cls.client = cls.net.client

    def command(self, *arguments, code=0, **options):
        found, out, err = run(*arguments, "--control", self.client.control, **options)
        self.assertEqual(found, code, out + err)
        return out + err

    def test_u2_a_ready_client_says_where_its_proxy_is(self):
        self.assertRegex(self.client.log.read_text(), f"ready: SOCKS and HTTP proxy at {re.escape(self.proxy)}\n")

    def test_u3_a_check_is_no_reason_for_a_warning(self):
        self.command("check", f"http://127.0.0.1:{self.echo.port}/")
        sock = socks_connect(tuple([self.proxy.split(":")[0], int(self.proxy.split(":")[1])]), "127.0.0.1", self.echo.port)
        sock.close()
        self.assertNotIn("asks for an address", self.client.log.read_text())
        # A request for an address that a name server may have given is explained in the log.
        try:
            socks_connect((self.proxy.split(":")[0], int(self.proxy.split(":")[1])), "9.9.9.9", 1, timeout=1).close()
        except (OSError, SocksError):
            pass
        wait_until(lambda: "an app asks for an address instead of a name" in self.client.log.read_text())
        self.assertNotIn("refused=", self.client.log.read_text())

    def test_u3_a_check_of_https_sees_whether_the_server_speaks_tls(self):
        text = self.command("check", f"https://127.0.0.1:{self.echo.port}/", code=69)
        self.assertIn("does not speak TLS", text)

    @unittest.skipUnless(shutil.which("openssl"), "needs openssl")
    def test_u3_a_check_of_https_succeeds_with_tls(self):
        with tempfile.TemporaryDirectory(prefix="tunic-test-") as folder:
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
                 "-subj", "/CN=localhost", "-keyout", f"{folder}/key", "-out", f"{folder}/certificate"],
                check=True, capture_output=True)
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(f"{folder}/certificate", f"{folder}/key")
                context.minimum_version = context.maximum_version = version
                with self.subTest(version=version), socket.create_server(("127.0.0.1", 0)) as server:
                    def serve():
                        connection, _ = server.accept()
                        try:
                            context.wrap_socket(connection, server_side=True)
                        except OSError:
                            pass
                        connection.close()

                    threading.Thread(target=serve, daemon=True).start()
                    text = self.command("check", f"https://127.0.0.1:{server.getsockname()[1]}/")
                    self.assertIn("answers; its certificate is not checked", text)

    def test_u4_the_page_keeps_its_address(self):
        with tempfile.TemporaryDirectory(prefix="tunic-test-") as folder:
            folder = pathlib.Path(folder) / "client"
            folder.mkdir(0o700)
            port = free_port()
            environment = {"TUNIC_WEB_LISTEN": f"127.0.0.1:{port}"}
            arguments = ["client", "--network", self.net.file, "--data", folder, "--socks", "127.0.0.1:0"]
            urls = []
            for _ in range(2):
                client = Process([], arguments, folder, environment)
                try:
                    wait_until(lambda: answers(client.control))
                    urls.append(run("web", "--control", client.control)[1])
                finally:
                    client.process.terminate()
                    client.process.wait(60)
            self.assertEqual(urls[0], urls[1])
            self.assertIn(f":{port}/", urls[0])
            self.assertEqual((folder / "web.token").stat().st_mode & 0o777, 0o600)
            # A secret that others may have read is replaced.
            (folder / "web.token").chmod(0o644)
            client = Process([], arguments, folder, environment)
            try:
                wait_until(lambda: answers(client.control))
                self.assertNotEqual(run("web", "--control", client.control)[1], urls[0])
            finally:
                client.process.terminate()
                client.process.wait(60)
            self.assertEqual((folder / "web.token").stat().st_mode & 0o777, 0o600)

    def test_l2_the_page_has_another_secret_when_its_port_was_taken(self):
        """The process that holds the port gets the secret from a page that is still open in a browser."""
        with tempfile.TemporaryDirectory(prefix="tunic-test-") as folder:
            folder = pathlib.Path(folder) / "client"
            folder.mkdir(0o700)
            arguments = ["client", "--network", self.net.file, "--data", folder, "--socks", "127.0.0.1:0"]

            def token(environment):
                client = Process([], arguments, folder, environment)
                try:
                    wait_until(lambda: answers(client.control))
                    return re.fullmatch(r"http://(.+)/\?token=([0-9a-f]{32})\n", run("web", "--control", client.control)[1]).groups()
                finally:
                    client.process.terminate()
                    client.process.wait(60)

            here = {"TUNIC_WEB_LISTEN": f"127.0.0.1:{free_port()}"}
            seen = [token(here)[1]]
            self.assertEqual(token(here)[1], seen[0])
            # Another address gets another secret, because another process may now hold the first address.
            seen.append(token({"TUNIC_WEB_LISTEN": f"127.0.0.1:{free_port()}"})[1])
            # The default port is in use, by the test or by another process.
            with socket.socket() as holder:
                with contextlib.suppress(OSError):
                    holder.bind(("127.0.0.1", 1088))
                    holder.listen()
                address, other = token({})
                self.assertNotEqual(address, "127.0.0.1:1088")
                seen.append(other)
            seen.append(token(here)[1])
            # The configured port is in use.
            with socket.create_server(("127.0.0.1", int(here["TUNIC_WEB_LISTEN"].split(":")[1]))):
                client = Process([], arguments, folder, here)
                self.assertNotEqual(client.process.wait(60), 0)
            seen.append(token(here)[1])
            self.assertEqual(len(set(seen)), len(seen), seen)

    def test_l2_the_page_opens_without_its_secret_in_a_command_line(self):
        with tempfile.TemporaryDirectory(prefix="tunic-test-") as folder:
            folder = pathlib.Path(folder)
            opener = folder / "xdg-open"
            opener.write_text("#!/bin/sh\nprintf '%s\\n' \"$#\" \"$1\"\nstat -c %a \"$1\"\ncat \"$1\"\n")
            opener.chmod(0o755)
            url = run("web", "--control", self.client.control)[1].strip()
            for variable, place in [("XDG_RUNTIME_DIR", "run"), ("XDG_STATE_HOME", "state")]:
                values = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
                values |= {"PATH": f"{folder}:{os.environ['PATH']}", variable: str(folder / place)}
                done = subprocess.run(
                    ["sh", "-c", 'umask 0; exec "$@"', "sh", binary(), "web", "--open", "--control", self.client.control],
                    env=values, capture_output=True, text=True, timeout=60)
                self.assertEqual(done.returncode, 0, done.stderr)
                count, path, mode, page = done.stdout.split("\n", 3)
                self.assertEqual((count, path, mode), ("1", f"{folder}/{place}/tunic/web.html", "600"))
                self.assertIn(f'content="0; url={url}"', page)

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_u5_beside_the_service_an_ordinary_user_is_told_what_to_do(self):
        script = (
            "mount -t tmpfs none /run && mkdir -m 0700 /run/tunic && chown 0:0 /run/tunic && "
            f"exec setpriv --reuid 65534 --clear-groups env HOME=/nonexistent {binary()} status")
        got = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True)
        if "setpriv" in got.stderr or "Permission denied" in got.stderr:
            self.skipTest(got.stderr)
        self.assertEqual(got.returncode, 77, got.stderr)
        self.assertIn("sudo tunic", got.stderr)

    def test_u6_top_survives_a_restart_and_fits_small_terminals(self):
        with tempfile.TemporaryDirectory(prefix="tunic-test-") as folder:
            folder = pathlib.Path(folder) / "client"
            folder.mkdir(0o700)
            arguments = ["client", "--network", self.net.file, "--data", folder, "--socks", "127.0.0.1:0"]
            client = Process([], arguments, folder)
            self.addCleanup(lambda: (client.process.kill(), client.process.wait()))
            wait_until(lambda: client.status()["ready"])
            child, terminal = pty.fork()
            if child == 0:
                os.environ["TERM"] = "xterm"
                os.execv(binary(), [binary(), "top", "--control", client.control])
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 14, 60, 0, 0))
            seen = bytearray()

            def read():
                try:
                    while part := os.read(terminal, 65536):
                        seen.extend(part)
                except OSError:
                    pass

            threading.Thread(target=read, daemon=True).start()
            wait_until(lambda: seen.count(b"hops, guard first") >= 2)
            view = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode(errors="replace").split("\x1b[2J")[-2])
            lines = view.replace("\r", "").split("\n")
            self.assertTrue(lines[0].startswith("client "), lines)
            self.assertLessEqual(len(lines), 14)
            self.assertLessEqual(max(map(len, lines)), 60)
            self.assertTrue(any(" > " in line for line in lines), lines)
            client.process.terminate()
            client.process.wait(60)
            wait_until(lambda: b"waiting for it" in seen)
            again = Process([], arguments, folder)
            try:
                mark = len(seen)
                wait_until(lambda: b"hops, guard first" in seen[mark:])
            finally:
                os.write(terminal, b"q")
                os.waitpid(child, 0)
                again.process.kill()
                again.process.wait()

    def test_u7_without_a_path_apps_hear_so_soon(self):
        with tempfile.TemporaryDirectory(prefix="tunic-test-") as folder:
            folder = pathlib.Path(folder) / "client"
            folder.mkdir(0o700)
            file = folder / "network.json"
            text = self.net.file.read_text()
            # No process listens at the nodes' addresses.
            file.write_text(re.sub(r"127\.0\.0\.1:\d+", lambda _: f"127.0.0.1:{free_port()}", text))
            client = Process([], ["client", "--network", file, "--data", folder, "--socks", "127.0.0.1:0"], folder)
            try:
                wait_until(lambda: answers(client.control))
                host, _, port = client.status()["socks"][0].rpartition(":")
                begin = time.monotonic()
                with self.assertRaises(SocksError) as failed:
                    socks_connect((host, int(port)), "a.example", 80)
                self.assertEqual(failed.exception.code, 3)
                self.assertLess(time.monotonic() - begin, 25)  # 20 s after the start
                begin = time.monotonic()
                with socket.create_connection((host, int(port)), timeout=20) as sock:
                    sock.sendall(b"CONNECT a.example:443 HTTP/1.1\r\nHost: x\r\n\r\n")
                    answer = sock.recv(4096)
                self.assertIn(b" 503 ", answer)
                self.assertIn(b"tunic status", answer)
                self.assertLess(time.monotonic() - begin, 2)
            finally:
                client.process.kill()
                client.process.wait()

    def test_u8_a_configuration_that_is_wrong_says_how_it_is_right(self):
        with tempfile.TemporaryDirectory(prefix="tunic-test-") as folder:
            file = pathlib.Path(folder) / "tunic.toml"
            for text, hint in (
                ("network = /home/ann/x\n[client]\n", "put a text in quotes"),
                ("network = network.json\n[client]\n", "put a text in quotes"),
                ('network = "~/x"\n[client]\n', "~ is not expanded"),
            ):
                with self.subTest(text=text):
                    file.write_text(text)
                    code, _, err = run("config", "check", "--config", file)
                    self.assertEqual(code, 78, err)
                    self.assertIn(hint, err)
            # A relative path is resolved from the file's folder, wherever the program is started.
            shutil.copy(self.net.file, pathlib.Path(folder) / "there.json")
            file.write_text('network = "there.json"\n[client]\n')
            code, out, err = run("config", "check", "--config", file, environment={"HOME": folder})
            self.assertEqual(code, 0, out + err)

    def test_u9_the_default_file_is_complete_but_for_the_network(self):
        _, text, _ = run("config", "default")
        with tempfile.TemporaryDirectory(prefix="tunic-test-") as folder:
            file = pathlib.Path(folder) / "tunic.toml"
            file.write_text(re.sub(r'^#network = .*$', f'network = "{self.net.file}"', text, flags=re.M))
            code, out, err = run("config", "check", "--config", file, environment={"HOME": folder})
            self.assertEqual(code, 0, out + err)

    def test_u9_a_package_leaves_the_role_to_who_writes_its_configuration(self):
        with tempfile.TemporaryDirectory(prefix="tunic-test-") as folder:
            folder = pathlib.Path(folder)
            script = pathlib.Path(__file__).parents[2] / "contrib" / "package-files"
            subprocess.run([script, binary(), folder / "share", folder / "units"], check=True)
            example = folder / "share/doc/tunic/tunic.toml"
            _, text, _ = run("config", "default")
            self.assertEqual(example.read_text(), text.replace("\n[client]\n", "\n#[client]\n"))
            code, _, err = run("config", "check", "--config", example, environment={"HOME": folder})
            self.assertEqual(code, 78, err)
            self.assertIn("neither a table [client] nor [relay]", err)
            self.assertIn("No licence has been granted", (folder / "share/doc/tunic/copyright").read_text())

    def test_u10_exec_runs_a_program_through_the_client(self):
        code, out, err = run("exec", "--control", self.client.control, "--", "curl", "-sS", f"http://127.0.0.1:{self.echo.port}/x")
        self.assertEqual(code, 0, err)
        self.assertIn("GET /x", out)
        script = 'u=${ALL_PROXY#socks5h://}; u=${u%@*}; test "$ALL_PROXY" = "socks5h://$u@$TUNIC_SOCKS" && ' \
            'test "$http_proxy" = "http://$u@$TUNIC_SOCKS" && test "${u#exec-}" != "$u" && exit 7'
        self.assertEqual(run("exec", "--control", self.client.control, "--", "sh", "-c", script)[0], 7)
        self.assertEqual(run("exec", "--control", self.client.control, "--", "/no/such/program")[0], 127)
        # The environment has no other proxy, which would be used instead of this one, and no exceptions.
        others = {"ftp_proxy": "http://proxy.invalid:1", "No_Proxy": "*", "npm_config_noproxy": "*", "NPM_CONFIG_NOPROXY": "*"}
        script = 'test "${ftp_proxy#*@}" = "$TUNIC_SOCKS" && test -z "$No_Proxy$npm_config_noproxy$NPM_CONFIG_NOPROXY"'
        done = run("exec", "--control", self.client.control, "--", "sh", "-c", script, environment=others)
        self.assertEqual(done[0], 0, done[2])
        with tempfile.TemporaryDirectory(prefix="tunic-test-") as folder:
            code, _, err = run("exec", "--", "true", environment={"HOME": folder, "XDG_STATE_HOME": ""})
            self.assertEqual(code, 69, err)
            self.assertIn("is the client running? start it with 'tunic client'", err)
            for command, starter in [("paths", "'tunic client',"), ("status", "'tunic client' or 'tunic relay',"), ("maintenance 1h", "'tunic relay',")]:
                code, _, err = run(*command.split(), environment={"HOME": folder, "XDG_STATE_HOME": ""})
                self.assertEqual(code, 69, err)
                self.assertIn(f"start it with {starter} or name its socket with --control", err)

    def test_u10_exec_keeps_a_browser_within_the_proxy(self):
        with tempfile.TemporaryDirectory(prefix="tunic-test-") as folder:
            folder = pathlib.Path(folder)
            for name in ("firefox", "chromium"):
                (folder / name).write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
                (folder / name).chmod(0o755)
            environment = {"HOME": str(folder), "XDG_STATE_HOME": "", "PATH": f"{folder}:{os.environ['PATH']}"}
            state = folder / ".local/state/tunic"

            def start(*command):
                code, out, err = run("exec", "--control", self.client.control, "--", *command, environment=environment)
                self.assertEqual((code, err.count("\n")), (0, 1), err)
                return out.splitlines(), err

            words, err = start("firefox", "https://example.org/")
            self.assertEqual(words, ["--no-remote", "--profile", str(state / "firefox"), "https://example.org/"])
            self.assertIn("firefox has a profile of its own", err)
            text = (state / "firefox/user.js").read_text()
            self.assertIn(f'user_pref("network.proxy.socks_port", {self.proxy.rpartition(":")[2]});', text)
            self.assertIn('user_pref("media.peerconnection.enabled", false);', text)
            self.assertEqual((state / "firefox").stat().st_mode & 0o777, 0o700)
            self.assertEqual(start("firefox", "-P", "work")[0], ["-P", "work"])
            words, err = start("chromium", "https://example.org/")
            self.assertIn(f"--proxy-server=socks5://{self.proxy}", words)
            self.assertIn("--webrtc-ip-handling-policy=disable_non_proxied_udp", words)
            self.assertEqual(words[-2:], [f"--user-data-dir={state / 'chromium'}", "https://example.org/"])
            self.assertEqual((state / "chromium").stat().st_mode & 0o777, 0o700)

    def test_j_join_keeps_a_network_file_for_the_client(self):
        with tempfile.TemporaryDirectory(prefix="tunic-test-") as folder:
            root = pathlib.Path(folder)
            kept = root / "network.json"

            def join(*arguments, code, stdin=None):
                # Root keeps the file for the whole machine, so it runs in a mount namespace of its own.
                script = f'mkdir -p /etc/tunic && mount --bind {root} /etc/tunic && exec "$@"'
                prefix = ["unshare", "-m", "sh", "-c", script, "sh"] if os.geteuid() == 0 else []
                environment = {**os.environ, "XDG_CONFIG_HOME": folder}
                done = subprocess.run(
                    [*prefix, binary(), *map(str, arguments)], capture_output=True, text=True, input=stdin, env=environment)
                self.assertEqual(done.returncode, code, done.stdout + done.stderr)
                return done.stdout + done.stderr

            if os.geteuid() != 0:
                (root / "tunic").mkdir()
                kept = root / "tunic" / "network.json"
            text = join("join", self.net.file, code=0)
            digest = hashlib.blake2b(self.net.file.read_bytes(), digest_size=32).hexdigest()
            self.assertIn(digest, text)
            self.assertEqual(kept.read_bytes(), self.net.file.read_bytes())
            join("join", "-", "--fingerprint", digest, code=0, stdin=self.net.file.read_text())
            self.assertIn("not the one that was given", join("join", self.net.file, "--fingerprint", "00", code=65))
            # A changed file, a file that is too large, a file of another network, and an address.
            bad = root / "bad.json"
            value = json.loads(self.net.file.read_text())
            bad.write_text(json.dumps({**value, "id": "11" * 32}))
            self.assertIn("snapshot", join("join", bad, code=65))
            bad.write_text(" " * (5 << 20))
            self.assertIn("too large", join("join", bad, code=65))
            run("network", "create", "--dir", root / "other", "--nodes", 3, "--local")
            self.assertIn("--replace", join("join", root / "other" / "network.json", code=73))
            self.assertEqual(kept.read_bytes(), self.net.file.read_bytes())
            join("join", root / "other" / "network.json", "--replace", code=0)
            self.assertEqual(kept.read_bytes(), (root / "other" / "network.json").read_bytes())
            self.assertIn("only https:// is fetched", join("join", "http://a.example/network.json", code=64))

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_j_what_root_joins_the_services_user_can_read(self):
        for made, mode in (("", "755"), ("mkdir -m 0750 /etc/tunic && ", "750")):
            with self.subTest(made=made):
                script = (
                    f"mount -t tmpfs -o mode=0755 none /etc && umask 077 && {made}"
                    f"{binary()} join {self.net.file} >/dev/null && stat -c %a /etc/tunic /etc/tunic/network.json")
                got = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True)
                if "unshare" in got.stderr or "mount" in got.stderr:
                    self.skipTest(got.stderr)
                # An existing folder keeps the mode that its owner gave it.
                self.assertEqual((got.returncode, got.stdout.split()), (0, [mode, "644"]), got.stderr)


if __name__ == "__main__":
    unittest.main()
