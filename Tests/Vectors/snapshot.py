"""The bytes of snapshots and updates (docs/protocol.md, sections 10.2 and 10.4) in plain Python; it shares no code with the
Swift sources."""
import hashlib
import struct

from nacl import bindings as nacl

TIME = 1_800_000_000


def H(x):
    return hashlib.blake2b(x, digest_size=32).digest()


class Key:
    def __init__(self, name):
        self.seed = H(b"snapshot vectors " + name.encode())
        self.public, self.secret = nacl.crypto_sign_seed_keypair(self.seed)

    def sign(self, message):
        return nacl.crypto_sign(message, self.secret)[:64]


NETWORK = H(b"snapshot vectors network")
KEYS = sorted((Key(f"node {i}") for i in range(6)), key=lambda key: key.public)


def placement(node, block):
    return int.from_bytes(H(b"tunic placement\0" + NETWORK + node + block)[:8], "little")


def entry(key, owner, state, weight, place):
    return key.public + H(b"owner" + bytes([owner])) + struct.pack("<BIQ", state, weight, place)


def extension(parts):
    return b"".join(bytes([kind]) + struct.pack("<H", len(data)) + data for kind, data in sorted(parts.items()))


def preface(root, count, parts):
    data = extension(parts)
    return root + struct.pack("<IH", count, len(data)) + data


def voters(entries):
    return [e[:32] for e in entries if e[64] == 1]


def header(height, time, front, entries):
    contents = H(b"tunic snapshot contents\0" + front + struct.pack("<H", len(entries)) + b"".join(entries))
    return struct.pack("<QQ", height, time) + H(b"tunic snapshot voters\0" + b"".join(voters(entries))) + contents


def digest(head, previous):
    return H(b"tunic snapshot\0\2" + NETWORK + head[:16] + previous + head[16:])


def snapshot(height, time, previous, front, entries):
    return (b"\2" + NETWORK + struct.pack("<QQ", height, time) + previous + front
            + struct.pack("<H", len(entries)) + b"".join(entries))


def varint(value):
    assert value < 64
    return bytes([value])


def vectors(v):
    v["network"], v["keys"] = NETWORK, b"".join(key.seed for key in KEYS)
    blocks = [H(b"block" + bytes([i])) for i in range(6)]
    places = [placement(key.public, block) for key, block in zip(KEYS, blocks)]
    v["blocks"], v["placements"] = b"".join(blocks), struct.pack("<6Q", *places)

    # The first snapshot: five nodes, one of them suspended; no names, no extension.
    first = [entry(KEYS[i], i, 2 if i == 3 else 1, 100 * i, places[i]) for i in range(5)]
    plain = preface(bytes(32), 0, {})
    head = header(1, TIME, plain, first)
    one = digest(head, bytes(32))
    message = b"tunic snapshot signature\0" + NETWORK + struct.pack("<Q", 1) + one
    signers = [KEYS[i] for i in (0, 1, 2, 4)]
    v["first"] = snapshot(1, TIME, bytes(32), plain, first)
    v["first digest"] = one
    v["first signed"] = v["first"] + struct.pack("<H", 4) + b"".join(key.public + key.sign(message) for key in signers)

    # The second: node 1 has another placement, node 2 another operator, node 3 is back, node 4 has gone, node 5 is new;
    # with names and an extension of kinds that nobody reads.
    second = [
        first[0], entry(KEYS[1], 1, 1, 100, places[1] ^ 1), entry(KEYS[2], 7, 1, 200, places[2]),
        entry(KEYS[3], 3, 1, 333, places[3]), entry(KEYS[5], 5, 1, 500, places[5])]
    front = preface(H(b"names"), 70_000, {7: b"", 3: bytes(range(100)), 255: b"end"})
    head = header(2, TIME + 3_600, front, second)
    two = digest(head, one)
    v["preface"], v["second digest"] = front, two
    v["second"] = snapshot(2, TIME + 3_600, one, front, second)

    # The update from the first to the second, signed by all four voters.
    message = b"tunic snapshot signature\0" + NETWORK + struct.pack("<Q", 2) + two
    update = b"\2" + struct.pack("<QH", 1, 1) + head + struct.pack("<HI", 0, 4)
    update += b"".join(varint(0) + varint(0) + key.sign(message) for key in signers)
    update += front
    whole = b"\0" + struct.pack("<H", 5) + b"".join(second)
    difference = b"\1" + struct.pack("<4H", 3, 1, 2, 4) + struct.pack("<HHBI", 1, 3, 1, 333)
    difference += struct.pack("<H", 3) + second[1] + second[2] + second[4]
    v["update whole"], v["update difference"] = update + whole, update + difference
