"""What is measured over the emulated network, and how.

A scenario gets a Lab, in which the network is calm, and returns {figure: value}; None is a figure that could not be had.
"""

import contextlib
import dataclasses
import random
import statistics
import sys
import time
import typing

import carriers
import flows
import peers
import processes
import shape

GIB = 1 << 30
FILLING = 60  # seconds that others may take to fill a queue
LOSSLESS, LOSS_TENTH, LOSS_ONE = "loss=0", "loss=0.1%", "loss=1%"


class Lab:
    """One carrier in one scenario."""

    def __init__(self, world, server, carrier, seconds):
        self.world, self.server, self.carrier, self.seconds = world, server, carrier, seconds
        self._open = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._open.close()

    def begin(self):
        """A new client under the conditions that hold now, on a line at rest, with its first stream behind it."""
        self._open.close()
        self.server.reset()
        deadline = time.monotonic() + 10
        while any(line["waiting"] for line in self.world.counts()["lines"].values()) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.carrier.renew()
        self.carrier.way().open().close()

    def transfers(self, count=1, up=False, way=None):
        """Streams that run until the next `begin`."""
        way = way or self.carrier.way()
        some = [flows.Transfer(way, self.server, up) for _ in range(count)]
        for one in some:
            self._open.callback(one.close)
        return some

    def pings(self):
        """Pings that run until the next `begin`."""
        pings = flows.Pings(self.carrier.way())
        self._open.callback(pings.close)
        return pings

    def cubic(self):
        """The way of the neighbour's TCP CUBIC, which shares the line."""
        target = self.world.address("destination"), flows.PORT
        return carriers.Way(self.world.hosts["neighbour"], target, control="cubic")

    def line(self, direction):
        """What the line counts."""
        return self.world.counts()["lines"][direction]

    def cpu(self):
        """Seconds of all processes of the carrier."""
        return sum(processes.cpu_by_role(self.carrier.roles).values())


def require(streams):
    """Raises flows.Broken when one of the streams has ended."""
    for stream in streams:
        if stream.error:
            raise flows.Broken(stream.error)


def attempt(step):
    """What `step` returns, or None when a stream broke, or the carrier did not start."""
    try:
        return step()
    except (flows.Broken, peers.PeerFailed) as error:
        print(f"    broken: {error}", file=sys.stderr, flush=True)
        return None


# ---------------------------------------------------------------------------------------------------------------- rates

def rate(lab, streams, up, with_cost=False):
    """One or more streams for some seconds: goodput behind the start, its time, drops, and what it cost."""
    lab.begin()
    seconds = lab.seconds
    data, answers = ("up", "down") if up else ("down", "up")
    before, cpu = lab.world.counts()["lines"], lab.cpu()
    some = lab.transfers(streams, up)
    time.sleep(seconds)
    require(some)
    after, cpu = lab.world.counts()["lines"], lab.cpu() - cpu
    meters = [one.meter for one in some]
    goodput, total = flows.mbits(meters, seconds / 3, seconds), sum(meter.total for meter in meters)
    name = f"{streams} {'up' if up else 'down'}"
    figures = {f"{name}, Mbit/s": goodput, f"{name}, s to 80 %": flows.time_to(meters, 0.8 * goodput, seconds),
               f"{name}, drops at the line": sum(after[way]["dropped"] - before[way]["dropped"] for way in ("up", "down"))}
    if with_cost and total:
        sent = {way: after[way]["bytes"] - before[way]["bytes"] for way in ("up", "down")}
        figures[f"{name}, wire bytes a byte"] = sent[data] / total
        figures[f"{name}, answers, % of goodput"] = 100 * sent[answers] / total
        if lab.carrier.roles:
            figures[f"{name}, CPU s/GiB"] = cpu * GIB / total
    return figures


def rates(settings, *segments, with_cost=False):
    """A scenario of one stream and eight, down and up."""
    def run(lab):
        lab.world.segments(settings, *segments)
        figures = {}
        for streams in (1, 8):
            for up in (False, True):
                some = attempt(lambda: rate(lab, streams, up, with_cost))
                figures |= some or {f"{streams} {'up' if up else 'down'}, Mbit/s": None}
        return figures
    return run


def long_fat(lab):
    """200 Mbit/s, and round trips of 460 and 840 ms."""
    figures = {}
    lab.world.line("rate=200M queue=100ms")
    for trip in (460, 840):
        lab.world.tell(*(f"segment {name} delay={delay * trip / 180}ms" for name, delay in shape.SEGMENTS.items()))
        for streams in (1, 8):
            lab.begin()
            some, seconds = lab.transfers(streams), 2 * lab.seconds
            time.sleep(seconds)
            figures[f"{trip} ms, {streams} down, Mbit/s"] = (
                None if any(one.error for one in some) else flows.mbits([one.meter for one in some], seconds / 2, seconds))
    return figures


def narrow_uplink(lab):
    """A download of 50 Mbit/s whose answers have a narrow way."""
    figures = {}
    for up in (2, 1, 0.5):
        lab.world.line("rate=50M queue=100ms", "down")
        lab.world.line(f"rate={up}M queue=1s", "up")
        lab.begin()
        pings, some = lab.pings(), lab.transfers()
        time.sleep(lab.seconds)
        pings.close(patience=3)
        figures[f"{up} up, Mbit/s"] = None if some[0].error else flows.mbits([some[0].meter], lab.seconds / 3, lab.seconds)
        figures[f"{up} up, ping p99 ms"] = pings.milliseconds(0.99)
    return figures


def line_changes(lab):
    """The line's rate changes while the client is at rest."""
    figures = {}
    for old, new, queue in ((4, 40, "100ms"), (40, 4, "1s")):
        lab.world.line(f"rate={old}M queue={queue}")
        lab.begin()
        first = lab.transfers()
        time.sleep(lab.seconds / 2)
        first[0].close()
        time.sleep(lab.seconds)
        lab.world.line(f"rate={new}M")
        dropped, pings = lab.line("down")["dropped"], lab.pings()
        some = lab.transfers()
        time.sleep(lab.seconds)
        pings.close(patience=3)
        name = f"{old} to {new}"
        figures[f"{name}, s to 80 % of the line"] = flows.time_to([some[0].meter], 0.8 * 0.86 * new, lab.seconds)
        figures[f"{name}, drops at the line"] = lab.line("down")["dropped"] - dropped
        figures[f"{name}, longest ping ms"] = pings.milliseconds(1)
    return figures


# ---------------------------------------------------------------------------------------------------------------- queues and others

def bloat(lab):
    """One byte there and back beside a download, on a line with a long queue."""
    lab.world.line("rate=20M queue=1s")
    lab.begin()
    pings, some, dropped = lab.pings(), lab.transfers(), lab.line("down")["dropped"]
    time.sleep(2 * lab.seconds)
    require(some)
    pings.close(patience=3)
    return {"Mbit/s": flows.mbits([some[0].meter], lab.seconds / 3, 2 * lab.seconds), "ping p50 ms": pings.milliseconds(0.5),
            "ping p99 ms": pings.milliseconds(0.99), "drops at the line": lab.line("down")["dropped"] - dropped}


def beside_cubic(lab):
    """A download beside another host's CUBIC, which began 5 s before."""
    figures = {}
    for queue in (20, 100, 400):
        lab.world.line(f"rate=50M queue={queue}ms")
        lab.begin()
        other = lab.transfers(way=lab.cubic())
        time.sleep(5)
        some = lab.transfers()
        seconds = 3 * lab.seconds
        time.sleep(seconds)
        require(some + other)
        figures[f"{queue} ms, Mbit/s"] = flows.mbits([some[0].meter], seconds / 3, seconds)
        figures[f"{queue} ms, the CUBIC's Mbit/s"] = flows.mbits([other[0].meter], 5 + seconds / 3, 5 + seconds)
    return figures


def two_clients(lab):
    """Two clients of one line with a download each, the second of which begins 5 s later."""
    lab.world.line("rate=50M queue=100ms")
    lab.begin()
    second = lab.carrier.way("neighbour")
    some = lab.transfers()
    time.sleep(5)
    some += lab.transfers(way=second)
    seconds = 3 * lab.seconds
    time.sleep(seconds)
    require(some)
    first = flows.mbits([some[0].meter], 5 + seconds / 3, 5 + seconds)
    later = flows.mbits([some[1].meter], seconds / 3, seconds)
    return {"the first's Mbit/s": first, "the later's Mbit/s": later,
            "Jain's index": (first + later) ** 2 / (2 * (first ** 2 + later ** 2)) if first + later else None}


def filled(lab):
    """Four CUBIC downloads and four uploads of another host keep the line's queues full."""
    figures = {}
    for queue in (1, 2):
        lab.world.line(f"rate=20M queue={queue}s")
        lab.begin()
        way = lab.cubic()
        lab.transfers(4, False, way)
        lab.transfers(4, True, way)
        deadline = time.monotonic() + FILLING
        while any(line["waiting"] < 0.8 * queue * 20e6 / 8 for line in lab.world.counts()["lines"].values()):
            if time.monotonic() > deadline:
                raise flows.Broken(f"the queues were not full after {FILLING} s")
            time.sleep(0.2)
        name = f"{queue} s of queue"
        pings = attempt(lab.pings)
        if pings:
            time.sleep(lab.seconds)
            pings.close(patience=2 * queue + 3)
            figures[f"{name}, ping p50 ms"] = pings.milliseconds(0.5)
            figures[f"{name}, lost pings"] = pings.sent - len(pings.times)
        began, opened = time.monotonic(), attempt(lambda: lab.carrier.way().open())
        figures[f"{name}, new connection s"] = time.monotonic() - began if opened else None
        if opened:
            flows.close_at_once(opened)
    return figures


def far_guard(lab):
    """The first segment alone is long."""
    def download():
        lab.begin()
        some = lab.transfers()
        time.sleep(2 * lab.seconds)
        require(some)
        return flows.mbits([some[0].meter], lab.seconds, 2 * lab.seconds)

    figures = {}
    for trip in (0.5, 1, 2, 4):
        lab.world.segments(f"delay={trip / 2}s", "access")
        figures[f"{trip} s, Mbit/s"] = attempt(download)
    return figures


def page(lab):
    """A page of 30 objects over 6 connections, new ones for each of five pages."""
    draw = random.Random(30)
    sizes = [min(300_000, int(draw.lognormvariate(10, 1))) for _ in range(30)]
    figures = {}
    for name, loss in (("no loss", LOSSLESS), ("1 % loss", LOSS_ONE)):
        lab.world.segments(loss)
        lab.begin()
        times = [attempt(lambda: flows.page(lab.carrier.way(), sizes, 6)) for _ in range(5)]
        times = [one for one in times if one is not None]
        figures[f"{name}, s"] = statistics.median(times) if times else None
    return figures


# ---------------------------------------------------------------------------------------------------------------- breaks

def silence(lab, up, event, seconds):
    """The longest time without a byte after `event`, on a stream that has run for four seconds."""
    lab.begin()
    some = lab.transfers(1, up)
    time.sleep(4)
    require(some)
    since = time.monotonic()
    event()
    time.sleep(seconds)
    require(some)
    if time.monotonic() - some[0].meter.last > seconds / 2:
        raise flows.Broken(f"silent for the last {time.monotonic() - some[0].meter.last:.1f} s")
    return some[0].meter.longest_silence(since)


def address_changes(lab):
    """The client's address changes under a stream."""
    return {f"{'up' if up else 'down'}, s": attempt(lambda: silence(lab, up, lab.world.new_address, lab.seconds)) for up in (False, True)}


def guard_off(lab):
    """The guard is off for 20 s."""
    def off():
        guard = lab.carrier.guard()
        lab.world.tell(f"cut {guard}")

    figures = {}
    for up in (False, True):
        figures[f"{'up' if up else 'down'}, s"] = attempt(lambda: silence(lab, up, off, 20))
        lab.world.tell(f"mend {' '.join(lab.world.hosts)}")
        time.sleep(3)
    return figures


def middle_killed(lab):
    """The middle's process is killed."""
    return {f"{'up' if up else 'down'}, s": attempt(
        lambda: silence(lab, up, lambda: lab.carrier.kill(lab.carrier.middle()), lab.seconds)) for up in (False, True)}


@dataclasses.dataclass(frozen=True)
class Scenario:
    """`needs`: a method that the carrier must have."""

    name: str
    title: str
    run: typing.Callable
    needs: str = "way"


SCENARIOS = [
    Scenario("calm", "no loss", rates(LOSSLESS, with_cost=True)),
    Scenario("loss-0.1", "0.1 % loss on each segment", rates(LOSS_TENTH)),
    Scenario("loss-1", "1 % loss on each segment", rates(LOSS_ONE)),
    Scenario("loss-1-first", "1 % loss on the first three segments", rates(LOSS_ONE, "access", "core")),
    Scenario("reorder", "5 % reordered, 5 ms jitter on each segment", rates("jitter=5ms reorder=5% late=5ms", with_cost=True)),
    Scenario("bloat", "pings beside a download, 20 Mbit/s, 1 s of queue", bloat),
    Scenario("beside-cubic", "beside one CUBIC flow, 50 Mbit/s", beside_cubic),
    Scenario("two-clients", "two clients, 50 Mbit/s", two_clients),
    Scenario("page", "30 objects over 6 connections", page),
    Scenario("address", "the client's address changes: silence", address_changes, "socks"),
    Scenario("guard-off", "the guard is off for 20 s: silence", guard_off, "guard"),
    Scenario("middle-killed", "the middle is killed: silence", middle_killed, "kill"),
    Scenario("far-guard", "round trip to the guard", far_guard),
    Scenario("filled", "20 Mbit/s filled by others", filled),
    Scenario("long-fat", "200 Mbit/s, long round trips", long_fat),
    Scenario("narrow-up", "50 Mbit/s down, little up", narrow_uplink),
    Scenario("change", "the line's rate changes at rest, Mbit/s", line_changes),
]
