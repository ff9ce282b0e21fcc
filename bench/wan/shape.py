"""The emulated network: who is in it, how far they are from each other, and what each scenario changes.

    client ─ 20 ms ─ guard ─ 30 ms ─ middle ─ 30 ms ─ exit ─ 10 ms ─ destination      (one way)

All nodes are alike, so a path has these distances whichever nodes it takes. TCP without a proxy crosses the same four
segments, with their losses. The client's line, up and down, is the only bottleneck; the neighbour is behind the same line.
"""

import hosts

NODES = ["node1", "node2", "node3", "node4", "exit"]
EXIT = "exit"
SEGMENTS = {"access": 20, "core": 30, "tail": 10}  # ms, one way
CALM = "jitter=0ms loss=0 reorder=0 late=0ms"
LINE = "rate=100M queue=100ms"


class World(hosts.World):
    """All hosts of the scenarios."""

    def __init__(self, program, seed, folder, six=False):
        super().__init__(program, seed, folder)
        self.six, self._moves = six, 0

    def build(self):
        """Makes the hosts and starts the emulator."""
        numbers = {"client": 0x11, "neighbour": 0x12, "destination": 0x31} | {name: 0x21 + i for i, name in enumerate(NODES)}
        for name, number in numbers.items():
            self.add(name, f"fd00::{number:x}" if self.six else f"10.0.{number >> 4}.{number & 15}")
        there, back = ["access", "core", "core", "tail"], ["tail", "core", "core", "access"]
        routes = [(one, other, ["core"]) for one in NODES for other in NODES if one != other]
        for name in NODES:
            routes += [(name, "destination", ["tail"]), ("destination", name, ["tail"])]
        for app in ("client", "neighbour"):
            routes += [(app, "destination", ["up", *there]), ("destination", app, [*back, "down"])]
            for name in NODES:
                routes += [(app, name, ["up", "access"]), (name, app, ["access", "down"])]
        self.start({"up": LINE, "down": LINE}, {name: f"delay={delay}ms" for name, delay in SEGMENTS.items()}, routes)

    def address(self, name):
        """The host's latest address."""
        return self.hosts[name].addresses[-1]

    def calm(self):
        """Distances, line and hosts as they are where a scenario does not say otherwise."""
        self.tell(*(f"segment {name} delay={delay}ms {CALM}" for name, delay in SEGMENTS.items()),
                  *(f"line {name} {LINE}" for name in ("up", "down")), f"mend {' '.join(self.hosts)}")

    def segments(self, settings, *names):
        """Sets something of these segments, of all without names."""
        self.tell(*(f"segment {name} {settings}" for name in names or SEGMENTS))

    def line(self, settings, *names):
        """Sets something of the client's line, in these directions, in both without names."""
        self.tell(*(f"line {name} {settings}" for name in names or ("up", "down")))

    def new_address(self):
        """The client's address changes to one that nobody had."""
        self._moves += 1
        old = self.address("client")
        self.move("client", old, f"fd00::{0x1000 + self._moves:x}" if self.six else f"10.1.{self._moves >> 8}.{self._moves & 255}")
