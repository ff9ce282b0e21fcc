"""The protocol of docs/protocol.md in plain Python, written from that page alone and slow on purpose.

Nothing here shares code with the Swift sources: X25519, Ed25519 and the AEADs are those of PyNaCl and `cryptography`,
ML-KEM-768 is `cryptography`'s, BLAKE2b is Python's.
"""
import hashlib
import struct

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from nacl import bindings as nacl


# Section 1: primitives

def H(x):
    return hashlib.blake2b(x, digest_size=32).digest()


def MAC(key, x):
    return hashlib.blake2b(x, key=key, digest_size=16).digest()


def derive(key, label, x=b""):
    return hashlib.blake2b(label.encode() + b"\0" + x, key=key, digest_size=32).digest()


def derive_start(key, label):
    return struct.unpack("<Q", derive(key, label)[:8])[0] >> 17


def aead(suite, key):
    return {1: AESGCM, 2: ChaCha20Poly1305}[suite](key)


def nonce(counter):
    return bytes(4) + struct.pack("<Q", counter)


def stream(key, length):
    return Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor().update(bytes(length))


def xor(a, b):
    assert len(a) == len(b)
    return bytes(x ^ y for x, y in zip(a, b))


def x25519(secret, point):
    return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(point))


def x25519_public(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


class XWing:
    """draft-connolly-cfrg-xwing-kem: a key pair from a 32-byte seed."""

    def __init__(self, seed):
        expanded = hashlib.shake_256(seed).digest(96)
        self.mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        self.secret = expanded[64:]
        self.public = self.mlkem.public_key().public_bytes_raw() + x25519_public(self.secret)

    def combine(self, ss_m, ss_x, ct_x):
        return hashlib.sha3_256(ss_m + ss_x + ct_x + self.public[1184:] + b"\\.//^\\").digest()

    def decapsulate(self, ciphertext):
        ct_m, ct_x = ciphertext[:1088], ciphertext[1088:]
        return self.combine(self.mlkem.decapsulate(ct_m), x25519(self.secret, ct_x), ct_x)

    def encapsulate(self, ephemeral):
        """Only to record a ciphertext: ML-KEM draws its own randomness."""
        ss_m, ct_m = self.mlkem.public_key().encapsulate()
        return ct_m + x25519_public(ephemeral)


# Section 2: identities

class Node:
    def __init__(self, seed):
        self.id, self.signing = nacl.crypto_sign_seed_keypair(seed)
        self.link_public = nacl.crypto_sign_ed25519_pk_to_curve25519(self.id)
        self.link_secret = nacl.crypto_sign_ed25519_sk_to_curve25519(self.signing)


# Section 3: links

class Noise:
    """Noise revision 34, sections 5.1 to 5.3, for 25519, ChaChaPoly and BLAKE2b."""

    def __init__(self, name, prologue, premessage=b"", psk=b""):
        name = name.encode()
        self.h = name.ljust(64, b"\0") if len(name) <= 64 else hashlib.blake2b(name).digest()
        self.ck, self.k, self.n, self.has_psk = self.h, None, 0, bool(psk)
        self.mix_hash(prologue)
        if premessage:
            self.mix_hash(premessage)
        if psk:
            self.ck, hashed, key = self.hkdf(psk, 3)
            self.mix_hash(hashed)
            self.k, self.n = key[:32], 0

    def mix_hash(self, data):
        self.h = hashlib.blake2b(self.h + data).digest()

    def hkdf(self, material, count):
        def hmac(key, data):
            key = key.ljust(128, b"\0")
            inner = hashlib.blake2b(bytes(k ^ 0x36 for k in key) + data).digest()
            return hashlib.blake2b(bytes(k ^ 0x5C for k in key) + inner).digest()
        key, output, last = hmac(self.ck, material), [], b""
        for number in range(1, count + 1):
            last = hmac(key, last + bytes([number]))
            output.append(last)
        return output

    def mix_key(self, material):
        self.ck, key = self.hkdf(material, 2)
        self.k, self.n = key[:32], 0

    def ephemeral(self, public):
        self.mix_hash(public)
        if self.has_psk:
            self.mix_key(public)
        return public

    def encrypt(self, text):
        if self.k:
            text = ChaCha20Poly1305(self.k).encrypt(nonce(self.n), text, self.h)
            self.n += 1
        self.mix_hash(text)
        return text

    def split(self):
        return [key[:32] for key in self.hkdf(b"", 2)]


VERSION = struct.pack("<H", 2)


def link_prologue(kind, network, node_id):
    return b"tunic link" + VERSION + struct.pack("<I", kind) + network + node_id


def initiation(network, size, responder, ephemeral, index, initiator=None, timestamp=0, cookie=None):
    """Section 3.1; returns the datagram and the Noise state."""
    kind = 1 if initiator else 2
    noise = Noise("Noise_%s_25519_ChaChaPoly_BLAKE2b" % ("IK" if initiator else "NK"),
                  link_prologue(kind, network, responder.id), responder.link_public)
    message = noise.ephemeral(x25519_public(ephemeral))
    noise.mix_key(x25519(ephemeral, responder.link_public))
    payload = b"\x03\0" + struct.pack("<Q", timestamp)
    if initiator:
        message += noise.encrypt(initiator.link_public)
        noise.mix_key(x25519(initiator.link_secret, responder.link_public))
        payload += initiator.id
    room = size - 40 - len(message) - 16
    message += noise.encrypt(payload.ljust(room, b"\0"))
    datagram = struct.pack("<II", kind, index) + message
    datagram += MAC(derive(network, "mac1", VERSION + responder.id), datagram)
    datagram += MAC(cookie, datagram) if cookie else bytes(16)
    return datagram, noise


def response(noise, size, ephemeral, initiator_ephemeral, indices, suite, time, initiator=None):
    """Section 3.3; returns the datagram and Split's keys."""
    message = noise.ephemeral(x25519_public(ephemeral))
    noise.mix_key(x25519(ephemeral, initiator_ephemeral))
    if initiator:
        noise.mix_key(x25519(ephemeral, initiator.link_public))
    payload = bytes([suite, 0]) + struct.pack("<Q", time)
    message += noise.encrypt(payload.ljust(size - 12 - 48, b"\0"))
    return struct.pack("<III", 3, *indices) + message, noise.split()


def cookie(secret, address, port):
    return MAC(secret, address + struct.pack("<H", port))


def sealed_cookie(network, node_id, value, mac1, nonce24):
    key = derive(network, "cookie", VERSION + node_id)
    return nacl.crypto_aead_xchacha20poly1305_ietf_encrypt(value, mac1, nonce24, key)


def rekey(network, psk, ephemeral, other_ephemeral, indices):
    """Section 3.7; returns both bodies and Split's keys."""
    noise = Noise("Noise_NNpsk0_25519_ChaChaPoly_BLAKE2b", b"tunic rekey" + network, psk=psk)
    first = noise.ephemeral(x25519_public(ephemeral)) + noise.encrypt(b"")
    second = noise.ephemeral(x25519_public(other_ephemeral))
    noise.mix_key(x25519(other_ephemeral, x25519_public(ephemeral)))
    second += noise.encrypt(b"")
    return [struct.pack("<I", i) + m for i, m in zip(indices, (first, second))] + [noise.split()]


# Section 4: packets

def seal_header(packet, suite, key, index, counter):
    sealed = aead(suite, key).encrypt(nonce(counter), bytes(packet[28:132]), None)
    packet[0:132] = struct.pack("<IQ", index, counter) + sealed[104:] + sealed[:104]


def seal_control(packet, suite, key, counter):
    """Seals into an open packet; path id and slots are overwritten."""
    sealed = aead(suite, key).encrypt(nonce(counter), bytes(packet[132:]), None)
    packet[28:132] = bytes(8 + 72) + struct.pack("<Q", counter) + sealed[-16:]
    packet[132:] = sealed[:-16]


# Section 5: layers

def slot_at(slot):
    return 36 + 24 * (slot - 1)


class Layer:
    """One hop's layer in one direction, from either end; counts from the derived start."""

    def __init__(self, suite, key, start):
        self.suite, self.key, self.sequence, self.epoch = suite, key, start, 0

    def ratchet(self):
        self.key, self.epoch = derive(self.key, "ratchet"), self.epoch + 1

    def seal(self, packet, slot):
        counter = self.epoch << 48 | self.sequence
        self.sequence += 1
        behind = slot_at(slot) + 24
        sealed = aead(self.suite, self.key).encrypt(nonce(counter), bytes(packet[behind:]), None)
        packet[slot_at(slot):] = struct.pack("<Q", counter) + sealed[-16:] + sealed[:-16]

    def open(self, packet, slot):
        at = slot_at(slot)
        counter, = struct.unpack("<Q", packet[at:at + 8])
        assert counter >> 48 == self.epoch
        sealed = bytes(packet[at + 24:]) + bytes(packet[at + 8:at + 24])
        packet[at + 24:] = aead(self.suite, self.key).decrypt(nonce(counter), sealed, None)


def slots_of(count):
    return [k + 1 if k + 1 < count else 4 for k in range(count)]


def client_seal(packet, layers):
    packet[36:132] = bytes(96)
    for layer, slot in reversed(list(zip(layers, slots_of(len(layers))))):
        layer.seal(packet, slot)


def hop_forward(packet, layer, slot):
    layer.open(packet, slot)
    packet[36:slot_at(slot) + 24] = bytes(24 * slot)


def hop_backward(packet, layer, slot):
    packet[36:slot_at(slot)] = bytes(24 * (slot - 1))
    layer.seal(packet, slot)


# Section 6: building a path

RECORD, REPLY = 1240, 112


class HopSecrets:
    """Sections 6.3 and 6.4, as both ends derive them."""

    def __init__(self, network, node_id, public, shared, opening):
        self.identity = network + node_id + H(public)
        self.prk = derive(shared, "build", self.identity + opening)
        self.seal_key = derive(self.prk, "record")
        self.stream_key = derive(self.prk, "peel")
        self.filler_key = derive(self.prk, "filler")

    def agree(self, exchange, record, hop_ephemeral):
        transcript = H(self.identity + record + hop_ephemeral)
        self.secret = derive(self.prk, "path", exchange + transcript)
        for name in ("forward", "backward", "reply", "reply stream", "session", "leg"):
            setattr(self, name.replace(" ", "_"), derive(self.secret, name))
        self.forward_start = derive_start(self.secret, "forward start")
        self.backward_start = derive_start(self.secret, "backward start")


def body(slot, next_slot, suite, time, next_node):
    return struct.pack("<BBBBIH", 1, slot, next_slot, suite, time // 600, 1200) + bytes(22) + next_node


def peel(records, hop):
    return xor(records[RECORD:], stream(hop.stream_key, 3 * RECORD)) + stream(hop.filler_key, RECORD)


def make_records(hops, openings, bodies, fill):
    """The records that each hop receives, guard first; `fill` goes behind the last hop's record."""
    count = len(hops)
    seen = [bytes(count * RECORD) + fill]
    for hop in hops[:-1]:
        seen.append(peel(seen[-1], hop))
    for k in reversed(range(count)):
        behind = seen[k][RECORD:]
        if k + 1 < count:
            real = (count - k - 1) * RECORD
            plain = xor(seen[k + 1][:3 * RECORD], stream(hops[k].stream_key, 3 * RECORD))
            behind = plain[:real] + behind[real:]
        sealed = ChaCha20Poly1305(hops[k].seal_key).encrypt(nonce(0), bodies[k], openings[k] + behind)
        seen[k] = openings[k] + sealed + behind
    for k in range(count - 1):
        assert peel(seen[k], hops[k]) == seen[k + 1]
    return seen


def reply(hop, slot, ephemeral, status, fill, inner=None):
    """Section 6.5: the records that a hop sends; `inner` is the next hop's reply."""
    at = (slot - 1) * REPLY
    if inner is None:
        behind = fill[at + REPLY:]
    else:
        behind = inner[at + REPLY:]
        behind = xor(behind, stream(hop.reply_stream, len(behind))) if behind else b""
    sealed = ChaCha20Poly1305(hop.reply).encrypt(nonce(0), bytes([status]) + bytes(63), ephemeral + behind)
    return fill[:at] + ephemeral + sealed + behind


# Section 7: sessions

def session_id(secret):
    return derive(secret, "session id")[:16]


def join_mac(session_secret, leg, leg_secret):
    return MAC(session_secret, b"join" + bytes([leg]) + leg_secret)
