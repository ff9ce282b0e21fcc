"""Compiles load.c and runs it: one call is one measurement."""

import json
import os
import selectors
import shutil
import signal
import subprocess
import time


class LoadFailed(Exception):
    """The load program itself could not be built or did not end as it should."""


def build(folder):
    """Compiles load.c into `folder` and returns the program's path."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise LoadFailed("no C compiler; install one: apt-get install gcc libc6-dev")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "load.c")
    program = os.path.join(folder, "load")
    command = [compiler, "-std=gnu11", "-O2", "-pthread", "-pipe", "-o", program, source]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            _, said = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)  # the compiler's own processes too
            raise
    if process.returncode != 0:
        raise LoadFailed(f"load.c does not compile:\n{said}")
    return program


def _lines(process, deadline):
    """Yields the lines of the process as they come; raises LoadFailed at the deadline."""
    descriptor, rest = process.stdout.fileno(), b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0, deadline - time.monotonic())):
                raise LoadFailed("the load program did not end in time")
            chunk = os.read(descriptor, 65536)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line.decode() for line in lines)


def run(program, mode, peer, seconds, warmup, patience, streams=1, isolate=False, sample=lambda: None):
    """Runs one measurement through `peer` and returns (report, sample at the window's begin, sample at its end).

    `sample` is called when the measured window begins and when it ends, while the load still runs or has just stopped.
    """
    command = [program, mode, "--streams", str(streams), "--seconds", str(seconds), "--warmup", str(warmup),
               "--patience", str(patience)]
    if peer.socks is not None:
        command += ["--socks", peer.socks]
    if isolate and peer.isolates:
        command.append("--isolate")
    deadline = time.monotonic() + seconds + warmup + 2 * patience + 10
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            first = None
            for line in _lines(process, deadline):
                if line == "window":
                    first = sample()
                else:
                    return json.loads(line), first, sample()
            raise LoadFailed(process.stderr.read().decode().strip() or "the load program ended without a report")
        finally:
            process.kill()
