"""Addresses, blinded keys and descriptors of services (docs/protocol.md, section 14) in plain Python; it shares no code with
the Swift sources. The curve is computed here, point by point, with RFC 8032's formulas; PyNaCl only verifies signatures."""
import hashlib
import os
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl import bindings as nacl

import model as m

# The curve (RFC 8032, section 5.1). Points are in extended coordinates.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
NEUTRAL = (0, 1, 1, 0)


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    result = NEUTRAL
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def encode(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(data):
    """The point of its one encoding; None for other bytes."""
    number = int.from_bytes(data, "little")
    y, sign = number & (1 << 255) - 1, number >> 255
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def is_key(data):
    """Whether it is a key of the prime-order group."""
    point = decode(data)
    return point is not None and data != encode(NEUTRAL) and encode(multiply(ORDER, point)) == encode(NEUTRAL)


BASE = decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def expand(seed):
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
    return scalar, digest[32:]


# Section 14.1: addresses

ALPHABET = "ybndrfg8ejkmcpqxot1uwisza345h769"


def zbase32(data):
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    return "".join(ALPHABET[int(bits[i:i + 5], 2)] for i in range(0, len(bits), 5))


def from_zbase32(text):
    bits = "".join(f"{ALPHABET.index(character):05b}" for character in text)
    whole = len(bits) // 8 * 8
    assert len(bits) - whole < 5 and "1" not in bits[whole:]
    return bytes(int(bits[i:i + 8], 2) for i in range(0, whole, 8))


def check_digits(data):
    return m.H(b"tunic service address\0" + data)[:2]


def address(key, version=1):
    data = key + bytes([version])
    return zbase32(data + check_digits(data)) + ".tunic"


def key_of(text):
    """The key of an address; None where a reader must refuse it."""
    if len(text) != 62 or not text.endswith(".tunic") or any(c not in ALPHABET for c in text[:56]):
        return None
    data = from_zbase32(text[:56])
    good = data[33:] == check_digits(data[:33]) and data[32] == 1 and is_key(data[:32])
    return data[:32] if good else None


# Section 14.2: periods and blinded keys

def blinding_factor(network, purpose, key, period):
    data = b"tunic blind\0" + network + bytes([purpose]) + key + struct.pack("<I", period)
    factor = int.from_bytes(hashlib.blake2b(data).digest(), "little") % ORDER
    assert factor
    return factor


def blind_public(network, purpose, key, period):
    assert is_key(key)
    return encode(multiply(blinding_factor(network, purpose, key, period), decode(key)))


class BlindedKey:
    def __init__(self, network, purpose, seed, period):
        scalar, prefix = expand(seed)
        key = encode(multiply(scalar, BASE))
        self.scalar = blinding_factor(network, purpose, key, period) * scalar % ORDER
        self.public = encode(multiply(self.scalar, BASE))
        assert self.public == blind_public(network, purpose, key, period)
        self.prefix = hashlib.blake2b(
            b"tunic blind prefix\0" + network + self.public, key=prefix, digest_size=32).digest()

    def sign(self, message):
        nonce = int.from_bytes(hashlib.sha512(self.prefix + message).digest(), "little") % ORDER
        point = encode(multiply(nonce, BASE))
        challenge = int.from_bytes(hashlib.sha512(point + self.public + message).digest(), "little") % ORDER
        signature = point + ((nonce + challenge * self.scalar) % ORDER).to_bytes(32, "little")
        verify(self.public, message, signature)
        return signature


def verify(key, message, signature):
    assert nacl.crypto_sign_open(signature + message, key) == message


# Sections 14.3 and 14.4: instances and descriptors

SIZE, ENTRIES, ENTRY, CONTENT = 4_096, 32, 56, 2_002


def seal(key, text, associated=b""):
    return ChaCha20Poly1305(key).encrypt(m.nonce(0), text, associated)


def unseal(key, sealed, associated=b""):
    """The text; None where the tag is wrong."""
    try:
        return ChaCha20Poly1305(key).decrypt(m.nonce(0), sealed, associated)
    except InvalidTag:
        return None


def instance_id(secret):
    return m.derive(secret, "instance id")[:8]


def instance_name(secret, box):
    return m.derive(secret, "instance", box)[:8] + bytes(8)


def client_entry(client, place, cookie):
    return m.derive(client, "client", place)[:8] + seal(m.derive(client, "cookie", place), cookie)


def content(encryption_key, points, extensions):
    data = encryption_key + bytes([len(points)]) + b"".join(node + key for node, key in points)
    data += struct.pack("<H", len(extensions)) + extensions
    assert len(data) <= CONTENT
    return data + bytes(CONTENT - len(data))


def parse_content(data):
    """Encryption key, introduction points and extensions; any other form than the one that `content` writes fails."""
    count, start = data[1_216], 1_217
    assert len(data) == CONTENT and 1 <= count <= 6
    points = [(data[at:at + 32], data[at + 32:at + 64]) for at in range(start, start + 64 * count, 64)]
    start += 64 * count
    end = start + 2 + struct.unpack_from("<H", data, start)[0]
    assert end <= CONTENT and data[end:] == bytes(CONTENT - end)
    return data[:1_216], points, data[start + 2:end]


class Descriptor:
    """A descriptor, from its parts or from the bytes of an item."""

    def __init__(self, network, identity, box):
        self.network, self.identity, self.box = network, identity, box

    def sealing_key(self, place):
        return m.derive(self.identity, "descriptor", self.network + place)

    def certificate_message(self, name, signing_key):
        return b"tunic certificate\0" + self.network + self.box + bytes([1, 0, 0]) + name + signing_key

    def signed_message(self, item):
        name = m.H(b"tunic item\0" + self.network + item[:64] + m.H(item[64:-64]))
        return b"tunic item signature\0" + self.network + name

    def make(self, created, counter, name, blinded, signing_seed, salt, flags, suites, instance, entries, cookie, text):
        signing_key, secret = nacl.crypto_sign_seed_keypair(signing_seed)
        head = struct.pack("<BB", 1, 1) + self.box + struct.pack("<I", created) + bytes(26)
        head += name + bytes([counter, 1, 0, 0]) + signing_key
        head += blinded.sign(self.certificate_message(name, signing_key)) + salt
        plain = bytes([flags, suites]) + instance + entries + seal(cookie, text)
        item = head + seal(self.sealing_key(self.box + salt), plain, head)
        item += bytes(64)
        assert len(item) == SIZE
        return item[:-64] + nacl.crypto_sign(self.signed_message(item), secret)[:64]

    def read(self, item, clients=()):
        """Flags, suites, instance id and content, which is None for a client without a key.

        All checks of a client are made but for times and versions."""
        assert len(item) == SIZE and item[:2] == b"\1\1" and item[2:34] == self.box and item[38:64] == bytes(26)
        name, signing_key, certificate = item[64:80], item[84:116], item[116:180]
        assert name[8:] == bytes(8) and item[81:84] == b"\1\0\0"
        verify(self.box, self.certificate_message(name, signing_key), certificate)
        verify(signing_key, self.signed_message(item), item[-64:])
        place = self.box + item[180:196]
        plain = unseal(self.sealing_key(place), item[196:-64], item[:196])
        flags, suites, instance = plain[0], plain[1], plain[2:10]
        assert flags < 8 and 1 <= suites <= 3
        cookie = m.derive(self.identity, "content", place)
        if flags & 1:
            cookie = None
            entries = [plain[10 + ENTRY * i:10 + ENTRY * (i + 1)] for i in range(ENTRIES)]
            for client in clients:
                for entry in entries:
                    if entry[:8] == m.derive(client, "client", place)[:8]:
                        cookie = cookie or unseal(m.derive(client, "cookie", place), entry[8:])
            if cookie is None:
                return flags, suites, instance, None
        text = unseal(cookie, plain[10 + ENTRY * ENTRIES:])
        parse_content(text)
        return flags, suites, instance, text


PERIOD, CREATED = 41_666, 28_800_000


def vectors(v):
    network, seed, secret = v.draw("network"), v.draw("seed"), v.draw("instance secret")
    identity = encode(multiply(expand(seed)[0], BASE))
    assert identity == nacl.crypto_sign_seed_keypair(seed)[0] and is_key(identity)
    v["identity"] = identity

    # Addresses: a good one, and those that must be refused for their check digits, their version and their key.
    text = address(identity)
    assert key_of(text) == identity
    v["address"] = text.encode()
    v["address version 2"] = address(identity, 2).encode()
    eighth = decode(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"))
    low = [encode(multiply(i, eighth)) for i in range(8)]
    assert len(set(low)) == 8 and low[0] == encode(NEUTRAL) and low[4] == (P - 1).to_bytes(32, "little")
    twins = [encode(add(decode(identity), decode(point))) for point in low[1:]]
    assert not any(is_key(key) for key in low + twins)
    assert all(key_of(address(key)) is None for key in low + twins)
    assert key_of(text.upper()) is None and key_of("y" + text[1:]) is None
    v["low order"], v["twins"] = b"".join(low), b"".join(twins)
    v["twin addresses"] = "\n".join(address(key) for key in low + twins).encode()

    # Blinded keys of both purposes in two periods.
    message = b"a message"
    for purpose in (1, 2):
        for period in (PERIOD - 1, PERIOD):
            key = BlindedKey(network, purpose, seed, period)
            v[f"blinded.{purpose}.{period}"] = key.public
            v[f"blinded signature.{purpose}.{period}"] = key.sign(message)

    # Descriptors: for everybody, and for two clients.
    blinded = BlindedKey(network, 1, seed, PERIOD)
    box = blinded.public
    name, instance = instance_name(secret, box), instance_id(secret)
    onion, signing_seed = m.XWing(v.draw("encryption key")), v.draw("signing key")
    v["encryption key"], v["instance id"], v["instance name"] = onion.public, instance, name
    points = [(v.draw(f"node.{i}"), v.draw(f"introduction key.{i}")) for i in range(3)]
    clients = [v.draw(f"client.{i}") for i in range(2)]
    descriptor = Descriptor(network, identity, box)
    for kind in ("open", "restricted"):
        salt = v.draw(f"{kind} salt", lambda: os.urandom(16))
        place = box + salt
        entries = v.draw(f"{kind} entries", lambda: os.urandom(ENTRIES * ENTRY))
        cookie, flags, extensions = m.derive(identity, "content", place), 0, b""
        if kind == "restricted":
            # The first client's entry is the sixth, the second one's is the last.
            cookie, flags, extensions = v.draw("cookie"), 1 | 2 | 4, b"\x09\x03abc\xff\x00"
            for client, at in zip(clients, (5, 31)):
                entry = client_entry(client, place, cookie)
                entries = entries[:at * ENTRY] + entry + entries[(at + 1) * ENTRY:]
        listed = points if kind == "open" else points[:1]
        text = content(onion.public, listed, extensions)
        assert parse_content(text) == (onion.public, listed, extensions)
        item = descriptor.make(
            CREATED, 7, name, blinded, signing_seed, salt, flags, 3, instance, entries, cookie, text)
        v[f"{kind} all entries"], v[f"{kind} content"], v[f"{kind} item"] = entries, text, item
        for known in clients:
            assert descriptor.read(item, [known]) == (flags, 3, instance, text)
        assert descriptor.read(item)[3] == (text if kind == "open" else None)
