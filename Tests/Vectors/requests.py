"""The bytes of onion requests (docs/protocol.md, section 13) in plain Python; it shares no code with the Swift sources."""
import os
import struct

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

import model as m

CLASSES = (1_024, 2_304, 4_352, 8_448, 16_640, 33_024, 65_792)
TIME = 1_800_000_123
PUZZLE = bytes(37)


def padded(text, least=CLASSES[0]):
    size = next(s for s in CLASSES if s >= max(least, len(text)))
    return text + bytes(size - len(text))


class Request:
    """The values that both ends of a request derive."""

    def __init__(self, network, target, public, ciphertext, shared):
        self.opening = m.H(public)[:8] + ciphertext
        root = m.derive(shared, "request", network + target + m.H(public) + self.opening)
        self.ask, self.answer_root = m.derive(root, "ask"), m.derive(root, "answer")
        self.binding = m.derive(root, "binding")

    def envelope(self, method, arguments, least=CLASSES[0]):
        text = struct.pack("<IBI", TIME // 60, method, len(arguments)) + arguments
        return self.opening + ChaCha20Poly1305(self.ask).encrypt(m.nonce(0), padded(text, least), self.opening)

    def answer(self, salt, status, result=b""):
        text = struct.pack("<IB", 1 + len(result), status) + result
        return salt + ChaCha20Poly1305(m.derive(self.answer_root, "salt", salt)).encrypt(m.nonce(0), padded(text), None)

    def opened(self, envelope):
        """Method and arguments."""
        text = ChaCha20Poly1305(self.ask).decrypt(m.nonce(0), envelope[1128:], envelope[:1128])
        time, method, length = struct.unpack("<IBI", text[:9])
        assert time == TIME // 60 and envelope[:1128] == self.opening and not any(text[9 + length:])
        return method, text[9:9 + length]


def vectors(v):
    network, target, session = v.draw("network"), v.draw("target"), v.draw("session secret")
    onion, salt = m.XWing(v.draw("onion")), v.draw("salt", lambda: os.urandom(16))
    ciphertext = v.draw("ciphertext", lambda: onion.encapsulate(os.urandom(32)))
    shared = onion.decapsulate(ciphertext)
    request = Request(network, target, onion.public, ciphertext, shared)
    arguments = bytes(range(200)) * 6
    envelope = request.envelope(10, arguments)
    assert request.opened(envelope) == (10, arguments) and len(envelope) == 1_128 + 2_304 + 16
    v["shared"], v["binding"], v["arguments"] = shared, request.binding, arguments
    v["envelope"], v["envelope status"] = envelope, request.envelope(8, b"")
    v["envelope padded"] = request.envelope(8, b"", 4_352)
    v["session binding"] = m.derive(session, "binding")

    # Answers, and the messages that carry them.
    answer = request.answer(salt, 0, b"a result")
    v["answer"], v["answer busy"] = answer, request.answer(salt, 8, b"\x09")
    v["answer superseded"] = request.answer(salt, 9, struct.pack("<IB", 28_800_000, 3))
    v["answer late"] = request.answer(salt, 7)
    v["stream answer"] = b"\0" + struct.pack("<I", len(answer)) + answer
    v["stream new key"] = b"\2" + struct.pack("<I", 3) + b"key"
    v["stream busy"] = b"\3" + struct.pack("<I", 1) + b"\x05"
    v["stream statuses"] = b"".join(bytes([s]) + bytes(4) for s in range(4, 9))
    v["own answer"] = b"\0" + struct.pack("<I", 9) + b"\0a result"
    v["forward answer"], v["forward later"] = b"\0" + answer, b"\1"

    # Requests on a stream and between nodes.
    v["open"] = b"\1\6" + target + PUZZLE + struct.pack("<I", len(envelope)) + envelope
    v["open own"] = b"\1\6" + bytes(32) + PUZZLE + struct.pack("<I", 4) + b"\x0aabc"
    number = 0x0123456789ABCDEF
    v["forward"] = struct.pack("<QB", number, 0) + PUZZLE + envelope
    v["forward relayed"] = struct.pack("<QB", number, 1) + PUZZLE + envelope
    v["relay"] = target + PUZZLE + envelope
    v["answer message"] = struct.pack("<QB", number, 0) + answer
    v["answer message busy"] = struct.pack("<QB", number, 3) + b"\x05"
