"""What a relay's whole process spends on a packet that passes it: the process runs under callgrind, and the benchmark's program plays
both of its neighbours, which send in bursts as large as what a relay gets in a turn of its loop at full speed."""

import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

import counts

PACKETS = 9_000  # a count of a burst's size has about so many, so that what the relay does each second weighs little
IDLE = 5  # seconds
RECEIVE = "shim_receive_messages"  # called once for each batch that the relay gets


def measure(tunic, program, bursts, keep=None):
    """The figures of one packet that the relay received and sent on, for each size of bursts and each direction."""
    tunic = os.path.realpath(tunic)
    with tempfile.TemporaryDirectory(prefix="micro-") as folder, contextlib.ExitStack() as ends:
        bare = os.path.join(folder, "tunic")
        subprocess.run(["strip", "-g", "-o", bare, tunic], check=True)
        boring = counts.boring_functions(tunic)
        os.mkdir(os.path.join(folder, "relay"), 0o700)
        neighbours = ends.enter_context(_started([program, "neighbours", folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        address = _answer(neighbours, 20)["listen"]
        profile, pipes = os.path.join(folder, "callgrind"), os.path.join(folder, "vgdb")
        relay = ends.enter_context(_started(
            ["valgrind", "--tool=callgrind", "--demangle=no", f"--callgrind-out-file={profile}", f"--vgdb-prefix={pipes}", bare, "relay",
             "--network", os.path.join(folder, "network.json"), "--listen", address, "--data", os.path.join(folder, "relay")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "GLIBC_TUNABLES": counts.NO_REP}))
        if not _answer(neighbours, 240).get("ready"):
            raise RuntimeError("the path over the relay was not built")
        # What the relay does each second whether or not packets come is next to nothing for a packet at full speed, but would count here.
        began = time.monotonic()
        _control("--zero", relay.pid, pipes)
        time.sleep(IDLE)
        idle = _dumped(relay.pid, folder, pipes).costs
        idle_time = time.monotonic() - began
        results = []
        for size in bursts:
            for direction in ("forward", "backward"):
                number = max(PACKETS // size, 4)
                _send(neighbours, direction, size, max(number // 4, 4))  # fills caches, grows arrays
                time.sleep(0.5)
                name = f"relay-{direction}-{size}"
                began = time.monotonic()
                _control("--zero", relay.pid, pipes)
                packets = _send(neighbours, direction, size, number)
                counted = _dumped(relay.pid, folder, pipes, keep and os.path.join(keep, name + ".callgrind"))
                share = (time.monotonic() - began) / idle_time
                counted.costs.subtract({key: cost * share for key, cost in idle.items()})
                batches = max(counted.calls[RECEIVE], 1)
                results.append({
                    "name": name, "group": "whole relay", "packets": packets, "batches": batches,
                    "title": f"{direction} in bursts of {size}: {packets:,} packets, {packets / batches:.0f} in a batch",
                    "instructions": counts.summary(counted.costs, packets, "tunic", boring)})
        return results


@contextlib.contextmanager
def _started(command, **options):
    """A process, ended with the block."""
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()


def _answer(neighbours, limit):
    """The next line of what the neighbours say."""
    if not select.select([neighbours.stdout], [], [], limit)[0]:
        raise RuntimeError(f"the relay's neighbours have said nothing for {limit} s")
    line = neighbours.stdout.readline()
    if not line:
        raise RuntimeError(f"the relay's neighbours ended with status {neighbours.wait()}")
    return json.loads(line)


def _send(neighbours, direction, size, number):
    neighbours.stdin.write(f"{direction} {size} {number}\n".encode())
    neighbours.stdin.flush()
    return _answer(neighbours, 300)["packets"]


def _dumped(pid, folder, pipes, keep=None):
    """What was counted since the count was zero."""
    _control("--dump", pid, pipes)
    dump = max((os.path.join(folder, name) for name in os.listdir(folder) if name.startswith("callgrind.")), key=os.path.getmtime)
    if keep:
        shutil.copy(dump, keep)
    profile = counts.Profile(dump)
    os.remove(dump)
    return profile


def _control(what, pid, pipes):
    subprocess.run(["callgrind_control", f"--vgdb-prefix={pipes}", what, str(pid)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
