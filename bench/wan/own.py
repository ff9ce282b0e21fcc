"""Measures the emulator itself: how exact its delays are, and how much it carries."""

import socket
import struct
import threading
import time

import flows
import hosts
import processes

SO_TIMESTAMPNS = 35
PACKETS = 500
ADDRESSES = "10.0.0.1", "10.0.0.2"


def measure(program, folder, seconds):
    """Lines of text, one for each figure."""
    world = hosts.World(program, 1, folder)
    try:
        one, other = (world.add(name, address) for name, address in zip(("one", "other"), ADDRESSES))
        world.start({}, {"far": "delay=1ms"}, [("one", "other", ["far"]), ("other", "one", ["far"])])
        for delay in (1, 5, 50):
            world.tell(f"segment far delay={delay}ms")
            errors = sorted(one_way(one, other) - delay for _ in range(PACKETS))
            yield f"delay of {delay} ms: {1e3 * errors[PACKETS // 2]:.0f} us more (median), {1e3 * errors[PACKETS * 99 // 100]:.0f} us (p99)"
        world.tell("segment far delay=5ms")
        yield from load(world, one, other, seconds)
    finally:
        world.close()


def one_way(one, other):
    """Milliseconds from just before a datagram is sent until the kernel has it at the other end."""
    with one.socket(socket.SOCK_DGRAM) as sender, other.socket(socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        receiver.bind((ADDRESSES[1], 0))
        receiver.settimeout(5)
        sender.connect(receiver.getsockname())
        began = time.time_ns()
        sender.send(b".")
        _, control, _, _ = receiver.recvmsg(1, 64)
        seconds, nanoseconds = struct.unpack("qq", control[0][2][:16])
        return (seconds * 1_000_000_000 + nanoseconds - began) / 1e6


def load(world, one, other, seconds):
    """Four TCP streams as fast as they go."""
    server = flows.Server(other, ADDRESSES[1])
    before, cpu = world.counts(), processes.cpu_seconds(world.pid)
    stop, threads = time.monotonic() + seconds, []

    def send():
        with flows.connect(one, (ADDRESSES[1], flows.PORT), control="cubic") as sock:
            number, _ = server.meter()
            sock.sendall(f"U {number} 0 cubic\n".encode())
            while time.monotonic() < stop:
                sock.send(bytes(flows.CHUNK))

    for _ in range(4):
        threads.append(threading.Thread(target=send, daemon=True))
        threads[-1].start()
    for thread in threads:
        thread.join()
    after, cpu = world.counts(), processes.cpu_seconds(world.pid) - cpu

    def sum_of(key):
        return sum(route[key] for route in after["routes"].values()) - sum(route[key] for route in before["routes"].values())
    packets = sum_of("packets")
    yield (f"four streams: {sum_of('bytes') * 8e-9 / seconds:.2f} Gbit/s in {packets / seconds:,.0f} packets a second, "
           f"{cpu / seconds:.0%} of a core, {1e6 * cpu / packets:.1f} us a packet")
    yield (f"{(after['late'] - before['late']) / packets:.2%} of packets over 1 ms late, "
           f"{one.device_drops() + other.device_drops()} dropped before the emulator, {after['homeless']} without room")
