"""The checks of the scripts in contrib/: they fail if something that they need fails."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

from devnet import binary

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Scripts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="tunic-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_script(self, root, name, *arguments, path=None):
        result = subprocess.run(
            [root / "contrib" / name, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
            env={**os.environ, "PATH": path or os.environ["PATH"]})
        return result.returncode, result.stdout + result.stderr

    def test_k_a_tool_that_fails_fails_the_package(self):
        tools = self.folder / "tools"
        tools.mkdir()
        broken = tools / "python3"
        broken.write_text("#!/bin/sh\nexit 1\n")
        broken.chmod(0o755)
        arguments = (binary(), self.folder / "share", self.folder / "systemd")
        status, text = self.run_script(ROOT, "package-files", *arguments)
        self.assertEqual(status, 0, text)
        status, text = self.run_script(ROOT, "package-files", *arguments, path=f"{tools}:{os.environ['PATH']}")
        self.assertNotEqual(status, 0, text)
        script = (ROOT / "contrib" / "package-deb").read_text()
        self.assertIn("set -euo pipefail", script)

    def test_k_the_layout_is_checked_without_git_too(self):
        root = self.folder / "sources"
        for name in ("contrib", "Sources", "Tests"):
            shutil.copytree(ROOT / name, root / name, symlinks=True, ignore=shutil.ignore_patterns(".build*", "__pycache__"))
        for name in ("Package.swift", "README.md"):
            shutil.copy(ROOT / name, root)
        status, text = self.run_script(root, "check-layout")
        self.assertEqual(status, 0, text)
        (root / "stray.txt").write_text("")
        status, text = self.run_script(root, "check-layout")
        self.assertEqual(status, 1, text)
        self.assertIn("stray.txt does not belong at the top level", text)
        # The README's table, with the rows of two modules exchanged.
        (root / "stray.txt").unlink()
        table = (root / "README.md").read_text()
        rows = {"| `Swarm` |": "| `Watch` |", "| `Watch` |": "| `Swarm` |"}
        (root / "README.md").write_text(re.sub("|".join(map(re.escape, rows)), lambda row: rows[row.group()], table))
        status, text = self.run_script(root, "check-layout")
        self.assertEqual(status, 1, text)
        self.assertIn("README.md: Watch may import Swarm, which does not stand before it", text)

    def check_docs(self, page, text):
        """What contrib/check-docs says of a page beside a project with one type, `WebGate`, which declares `refusal`."""
        root = self.folder / "sources"
        shutil.rmtree(root, ignore_errors=True)
        for name, content in (("Sources/Web/Gate/WebGate.swift", "struct WebGate {\n    func refusal() {}\n    let atTurnEnd = 0\n}\n"),
                              ("README.md", ""), (page, text)):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content)
        (root / "contrib").mkdir()
        shutil.copy(ROOT / "contrib" / "check-docs", root / "contrib")
        status, said = self.run_script(root, "check-docs")
        self.assertEqual(status, 1 if said else 0, said)
        return said

    def test_k_names_in_diagrams_are_checked(self):
        for page in ("docs/architecture/page.md", "docs/guide.md"):
            self.assertEqual(self.check_docs(page, "```\n WebGate.refusal -> 2 atTurnEnd -> WebGate, Web, 4 KiB\n```\n"), "")
            self.assertIn("nothing declares onBlock", self.check_docs(page, "```\n +--> WebGate, onBlock\n```\n"))
            self.assertIn("nothing declares WebGate.look", self.check_docs(page, "```\n WebGate.look -->\n```\n"))
            self.assertIn("nothing declares WebDoor", self.check_docs(page, "```\n WebDoor -->\n```\n"))
        self.assertEqual(self.check_docs("docs/guide.md", "```sh\necho WebDoor onBlock\n```\n"), "")

    def test_k_names_of_files_without_a_suffix_are_checked(self):
        self.assertEqual(self.check_docs("docs/guide.md", "See `Web/Gate`, `Web/Gate/WebGate` and `bin/tunic`.\n"), "")
        self.assertIn("there is no Web/WebGate", self.check_docs("docs/guide.md", "See `Web/WebGate`.\n"))

    def test_k_members_and_types_are_checked_in_all_pages_but_the_change_log(self):
        for page in ("docs/guide.md", "docs/architecture/page.md", "README.md"):
            self.assertEqual(self.check_docs(page, "See `WebGate`, `WebGate.refusal` and `Web.WebGate`.\n"), "")
            self.assertIn("nothing declares WebGate.look", self.check_docs(page, "See `WebGate.look`.\n"))
            for name in ("WebDoor", "Door"):
                self.assertIn(f"there is no type {name}", self.check_docs(page, f"See `{name}`.\n"))
        self.assertEqual(self.check_docs("docs/CHANGELOG.md", "`WebGate.look` and `WebDoor` went.\n"), "")

    def run_demo(self, path):
        """Runs the demo in a built tree with all packages, and ends it when the network is up or the demo fails."""
        root = self.folder / "sources"
        (root / "contrib").mkdir(parents=True)
        shutil.copy(ROOT / "contrib" / "demo", root / "contrib")
        for name, text in (("install-deps", ""), ("build", f"echo '{binary()}'\n")):
            (root / "contrib" / name).write_text("#!/bin/sh\n" + text)
            (root / "contrib" / name).chmod(0o755)
        demo = subprocess.Popen(
            [root / "contrib" / "demo"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "PATH": path})
        try:
            lines = []
            for line in demo.stdout:
                lines.append(line)
                if "that no other user shares" in line:
                    demo.send_signal(signal.SIGINT)
            return demo.wait(timeout=60), "".join(lines)
        finally:
            if demo.poll() is None:
                demo.send_signal(signal.SIGINT)
            demo.wait(timeout=60)
            demo.stdout.close()

    def test_f5_the_demo_shows_that_the_page_came_over_three_nodes(self):
        status, text = self.run_demo(os.environ["PATH"])
        self.assertEqual(status, 0, text)
        page = re.search(r"^Hello from the other side: [0-9a-f]{32}$", text, re.M)
        self.assertIsNotNone(page, text)
        proof = text.find("It is the page that was served, and it came over three nodes")
        self.assertGreater(proof, page.start(), text)
        # The paths, commands to try next, and no escape codes in a pipe.
        self.assertRegex(text[proof:], r"active")
        for command in ("tunic top", "tunic web", "tunic paths"):
            self.assertIn(command, text[proof:])
        self.assertNotIn("\x1b", text)

    def test_f5_the_demo_fails_if_another_page_comes(self):
        tools = self.folder / "tools"
        tools.mkdir()
        (tools / "curl").write_text("#!/bin/sh\necho 'This page came through three nodes.'\n")
        (tools / "curl").chmod(0o755)
        status, text = self.run_demo(f"{tools}:{os.environ['PATH']}")
        self.assertEqual(status, 1, text)
        self.assertIn("demo: the page is not the one that was served", text)
        self.assertNotIn("came over three nodes;", text)

    def test_f1_no_package_that_starts_a_server_is_installed(self):
        script = (ROOT / "contrib" / "install-deps").read_text()
        for package in ("openssh-server", "tor", "dante-server", "unbound", "dnsmasq"):
            self.assertIsNone(re.search(rf"^\s*need {package}\b(?!-)", script, re.M), package)

    def test_f2_the_demo_asks_for_none_of_the_tests_packages(self):
        """On a machine with only a shell's tools and Swift."""
        tools = self.folder / "tools"
        tools.mkdir()
        for name in ("dirname", "readlink", "sort", "sed", "tr", "head", "id"):
            (tools / name).symlink_to(shutil.which(name))
        swift = tools / "swift"
        swift.write_text("#!/bin/sh\necho 'Swift Package Manager - Swift 6.2'\n")
        swift.chmod(0o755)
        packages = {}
        for purpose in ("--demo", "--tests"):
            status, text = self.run_script(ROOT, "install-deps", purpose, "--yes", path=str(tools))
            self.assertEqual(status, 1, text)
            self.assertIn("are missing, and there is no apt-get", text)
            packages[purpose] = set(text.rsplit(": ", 1)[1].split()) - {"ca-certificates"}
        self.assertEqual(packages["--demo"], {
            "g++", "libuv1-dev", "libsodium-dev", "libsqlite3-dev", "libc-ares-dev", "libcurl4-openssl-dev",
            "libtomlplusplus-dev", "libmicrohttpd-dev", "git", "curl", "python3"})
        self.assertGreater(packages["--tests"], packages["--demo"])

    def test_a1_a_header_that_is_missing_beside_a_compiler_is_found(self):
        """A compiler that has all headers but one."""
        tools = self.folder / "tools"
        tools.mkdir()
        for name in ("dirname", "readlink", "sort", "sed", "tr", "head", "id", "cat", "git", "env"):
            (tools / name).symlink_to(shutil.which(name))
        swift = tools / "swift"
        swift.write_text("#!/bin/sh\necho 'Swift Package Manager - Swift 6.2'\n")
        clang = tools / "clang"
        clang.write_text("#!/bin/sh\nsed -n -e '/microhttpd.h/{n;p}' -e '/looked for all/p'\n")
        for tool in (swift, clang):
            tool.chmod(0o755)
        for name in ("clang++", "g++", "c++", "cc"):
            (tools / name).symlink_to(clang)
        status, text = self.run_script(ROOT, "install-deps", "--yes", path=str(tools))
        self.assertEqual(status, 1, text)
        self.assertEqual(set(text.rsplit(": ", 1)[1].split()) - {"ca-certificates", "git"}, {"libmicrohttpd-dev"}, text)

    def test_k_a_file_of_tests_that_is_not_there_fails_the_run(self):
        result = subprocess.run(
            [ROOT / "Tests" / "Integration" / "run", "test_nosuch"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("test_nosuch", result.stderr)

    @unittest.skipIf(shutil.which("swift", path="/usr/bin:/bin"), "Swift is the system's own here")
    def test_f3_swift_is_looked_for_first(self):
        status, text = self.run_script(ROOT, "install-deps", "--yes", path="/usr/bin:/bin")
        self.assertEqual(status, 1)
        self.assertEqual(text.count("\n"), 1, text)
        self.assertIn("there is no Swift", text)

    def test_f4_what_takes_long_says_so(self):
        command = ("working", "sh", "-c", "echo step 7; sleep 5; exit 3")
        status, text = self.run_script(ROOT, "progress", *command)
        self.assertEqual(status, 3, text)
        self.assertRegex(text, r"(?m)^working [0-9]+ s  step 7$")
        self.assertIn("working: failed with status 3 after", text)


if __name__ == "__main__":
    unittest.main()
