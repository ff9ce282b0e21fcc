"""What a relay's whole process spends on a packet that passes it: a network of processes, one of whose relays runs under callgrind."""

import os
import shutil
import subprocess
import sys
import tempfile
import time

import counts

HERE = os.path.dirname(os.path.abspath(__file__))
SIZE = 12 << 20  # bytes of the download, and of the upload after it


def measure(tunic, keep=None):
    """Carries a download and an upload over the relay; the figures of one packet that it received and sent on."""
    sys.path.insert(0, os.path.join(HERE, "..", "..", "Tests", "Integration"))
    os.environ["TUNIC"] = tunic = os.path.realpath(tunic)
    import devnet
    import peers

    # Of three nodes with one exit both others are on every path.
    with tempfile.TemporaryDirectory(prefix="micro-") as folder, devnet.Devnet(nodes=3, exits=1) as net, peers.Peer() as peer:
        node = next(node for node in net.nodes if not node.exit)
        with open(f"/proc/{node.pid}/cmdline", "rb") as file:
            words = [word.decode() for word in file.read().split(b"\0")[1:-1]]
        while "--parent-fd" in words:
            place = words.index("--parent-fd")
            del words[place:place + 2]
        bare = os.path.join(folder, "tunic")
        subprocess.run(["strip", "-g", "-o", bare, tunic], check=True)
        profile = os.path.join(folder, "relay.callgrind")
        pipes = os.path.join(folder, "vgdb")
        node.kill()
        devnet.wait_until(lambda: not node.is_running)
        environment = {**os.environ, "GLIBC_TUNABLES": counts.NO_REP}
        process = subprocess.Popen(
            ["valgrind", "--tool=callgrind", "--demangle=no", f"--callgrind-out-file={profile}", f"--vgdb-prefix={pipes}",
             bare, *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        try:
            devnet.wait_until(lambda: _works(net, peer, peers), 240, 0.5)
            _carry(net, peer, peers)  # fills caches, grows arrays
            time.sleep(2)
            before = node.status()["total"]
            _control("--zero", process.pid, pipes)
            _carry(net, peer, peers)
            after = node.status()["total"]
            _control("--dump", process.pid, pipes)
        finally:
            process.kill()
            process.wait()
        packets = after["packets_in"] - before["packets_in"]
        dump = next(os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.startswith("relay.callgrind."))
        if keep:
            shutil.copy(dump, os.path.join(keep, "relay-process.callgrind"))
        figures = counts.summary(counts.Profile(dump).costs, packets, "tunic", counts.boring_functions(tunic))
    return {"name": "relay-process", "title": f"relay: its whole process, for each of {packets:,} packets that it received", "group": "packet",
            "packets": packets, "instructions": figures}


def _control(what, pid, pipes):
    subprocess.run(["callgrind_control", f"--vgdb-prefix={pipes}", what, str(pid)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _works(net, peer, peers):
    try:
        return peers.download(net.socks, peer.port, 1_000, timeout=20) == peers.digest(1_000)
    except (peers.SocksError, OSError, EOFError):
        return False


def _carry(net, peer, peers):
    if peers.download(net.socks, peer.port, SIZE) != peers.digest(SIZE):
        raise RuntimeError("the download is corrupt")
    if peers.upload(net.socks, peer.port, SIZE) != (SIZE, peers.digest(SIZE)):
        raise RuntimeError("the upload is corrupt")
