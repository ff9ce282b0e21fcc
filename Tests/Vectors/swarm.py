"""The bytes of the swarm store (docs/protocol.md, section 12) in plain Python; it shares no code with the Swift sources."""
import hashlib
import struct

from nacl import bindings as nacl

MINUTE = 28_800_000
FULL = 2**64 - 1


def H(x):
    return hashlib.blake2b(x, digest_size=32).digest()


class Key:
    def __init__(self, name):
        self.seed = H(b"swarm vectors " + name.encode())
        self.public, self.secret = nacl.crypto_sign_seed_keypair(self.seed)

    def sign(self, message):
        return nacl.crypto_sign(message, self.secret)[:64]


NETWORK = H(b"swarm vectors network")
BOX, WRITER, OTHER, CERTIFIED = Key("box"), Key("writer"), Key("other"), Key("certified")
TOKEN = bytes(range(16))
BINDING = H(b"swarm vectors binding")
COMPARISON = bytes(range(100, 116))
SIZES = (2_048, 4_096, 8_192, 16_384, 32_768, 65_536)


def named(text):
    return text.encode().ljust(16, b"\0")


def header(kind, created, lock=bytes(16), hint=bytes(8)):
    return struct.pack("<BB", 1, kind) + BOX.public + struct.pack("<I", created) + lock + hint + bytes(2)


def item_id(head, body_digest):
    return H(b"tunic item\0" + NETWORK + head + body_digest)


def item(head, body, author, least=SIZES[0]):
    size = next(s for s in SIZES if s >= max(least, len(body) + 128))
    body = body + bytes(size - 128 - len(body))
    name = item_id(head, H(body))
    signature = author.sign(b"tunic item signature\0" + NETWORK + name) if author else bytes(64)
    return head + body + signature, name


def version(name, counter, content, certified=None, kind=1):
    body = named(name) + bytes([counter])
    if certified is None:
        return body + b"\0" + content
    message = b"tunic certificate\0" + NETWORK + BOX.public + bytes([kind, 0, 0]) + named(name) + certified.public
    return body + b"\1" + bytes(2) + certified.public + BOX.sign(message) + content


def zeros_before(digest):
    return 256 - int.from_bytes(digest, "big").bit_length()


def short(key, name):
    return hashlib.blake2b(b"short id\0" + name, key=key, digest_size=32).digest()[:8]


def mix(z):
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & FULL
    z = (z ^ z >> 27) * 0x94D049BB133111EB & FULL
    return z ^ z >> 31


def swarm(nodes, shard, size):
    """`nodes`: (id, operator, placement). By score, one of each operator, then the others."""
    seed = int.from_bytes(H(b"tunic shard seed\0" + NETWORK + struct.pack("<I", shard))[:8], "little")
    ranked = sorted(nodes, key=lambda n: (-mix(n[2] ^ seed), n[0]))
    chosen, owners = [], set()
    for node in ranked:
        if node[1] not in owners and len(chosen) < size:
            owners.add(node[1])
            chosen.append(node)
    chosen += [n for n in ranked if n not in chosen][:size - len(chosen)]
    return [n[0] for n in chosen]


def vectors(v):
    v["network"], v["box seed"], v["writer seed"], v["certified seed"] = NETWORK, BOX.seed, WRITER.seed, CERTIFIED.seed
    v["binding"], v["token"], v["comparison key"] = BINDING, TOKEN, COMPARISON

    # An item of each kind.
    lock = H(b"tunic delete lock\0" + TOKEN)[:16]
    writers = sorted((WRITER.public, OTHER.public))
    grant = bytes([2]) + b"".join(key + struct.pack("<I", 0 if key == WRITER.public else MINUTE) for key in writers)
    items = {
        "descriptor": item(header(1, MINUTE), version("web", 3, b"content", CERTIFIED), CERTIFIED, 4_096),
        "account": item(header(2, MINUTE), version("face", 9, b"hello"), BOX),
        "record": item(header(3, MINUTE), version("notes", 0, bytes(range(256)) * 10), BOX),
        "grant": item(header(3, MINUTE), version("grant", 0, grant), BOX),
        "purge": item(header(3, MINUTE), version("purge", 0, struct.pack("<I", MINUTE - 60)), BOX),
        "message": item(header(4, MINUTE + 10, lock, WRITER.public[:8]), b"a message", WRITER),
        "contact": item(header(5, MINUTE, hint=bytes(range(8))), b"a request", None, 4_096),
    }
    for name, (data, identity) in items.items():
        v[f"item.{name}"], v[f"id.{name}"] = data, identity
    contact = items["contact"][0]
    v["effort"] = bytes([zeros_before(H(b"tunic effort\0" + contact[:64] + H(contact[64:-64])))])

    # Tombstones: by the token, and by the box key.
    data, identity = items["message"]
    start = data[:64] + H(data[64:-64])
    by_owner = BOX.sign(b"tunic delete\0" + NETWORK + identity)
    v["tombstone.token"] = start + data[-64:] + b"\1" + TOKEN + bytes(48)
    v["tombstone.owner"] = start + bytes(64) + b"\2" + by_owner

    # Signatures of replicas and readers.
    v["receipt"] = WRITER.sign(b"tunic receipt\0" + NETWORK + struct.pack("<Q", 77) + identity)
    read = BOX.sign(b"tunic box read\0" + NETWORK + BOX.public + BINDING)
    v["store"] = struct.pack("<Q", 77) + data
    v["delete"] = BOX.public + b"\2" + b"\1" + identity + TOKEN + bytes(48) + b"\2" + identity + by_owner
    v["list"] = BOX.public + b"\x3c" + struct.pack("<QQ", 5, 6) + read
    v["fetch"] = BOX.public + struct.pack("<QB3Q", 5, 3, 1, 2, 9) + read
    v["lookup"] = BOX.public + b"\2\4" + named("face")
    v["subscription"] = b"\1\x0a" + BOX.public + b"\x10" + struct.pack("<QQ", 5, 6) + read

    # Digests and short ids.
    v["short id"], v["short id of a request"] = short(COMPARISON, identity), short(BINDING, identity)
    ids = sorted(identity for _, identity in items.values())
    digest = H(b"tunic range\0" + struct.pack("<I", len(ids)) + b"".join(x + bytes([1 + i % 2]) for i, x in enumerate(ids)))
    day = H(b"tunic day\0" + bytes(32) + digest + bytes(142 * 32))
    days = bytes([2]) + struct.pack("<BH", 2, 100) + day + struct.pack("<BH", 4, 7) + digest
    v["range digest"], v["day digest"], v["days"] = digest, day, days
    v["shard digest"] = H(b"tunic shard digest\0" + days)

    # Messages between replicas.
    v["replicate"] = struct.pack("<QB", 77, 2) + b"\1" + struct.pack("<I", len(data)) + data \
        + b"\2" + struct.pack("<I", 225) + v["tombstone.token"]
    start = COMPARISON + struct.pack("<I", MINUTE)
    v["compare.1"] = b"\1" + start + struct.pack("<HH", 2, 5) + digest + struct.pack("<H", 9) + day
    v["compare.2"] = b"\2" + start + struct.pack("<H", 5)
    v["compare.3"] = b"\3" + start + struct.pack("<HBH", 5, 4, 7)
    v["compare.4"] = b"\4" + start + struct.pack("<HBI", 5, 4, MINUTE // 10) + v["short id"]
    v["fetch copies"] = COMPARISON + struct.pack("<HBIH", 5, 4, MINUTE // 10, 1) + v["short id"]

    # The map: twelve nodes of five operators, and of one.
    placed = []
    for i in range(12):
        node, block = H(b"map node" + bytes([i])), H(b"map block" + bytes([i]))
        placement = int.from_bytes(H(b"tunic placement\0" + NETWORK + node + block)[:8], "little")
        placed.append((node, H(b"map operator" + bytes([i % 5])), placement))
    v["map nodes"] = b"".join(n + o + struct.pack("<Q", p) for n, o, p in placed)
    v["map blocks"] = b"".join(H(b"map block" + bytes([i])) for i in range(12))
    v["map"] = b"".join(b"".join(swarm(placed, shard, 7)) for shard in range(64))
    shard = H(b"tunic shard\0" + NETWORK + BOX.public)
    v["shard of 64"], v["shard of 1024"] = bytes([shard[0] >> 2]), struct.pack("<H", (shard[0] << 8 | shard[1]) >> 6)
