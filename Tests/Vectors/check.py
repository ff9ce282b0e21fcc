"""Recomputes the vectors beside it from model.py and fails if one differs; `check.py --write` writes them anew.

Each file is one flat object of hexadecimal strings. Values drawn at random (seeds, ephemerals, X-Wing ciphertexts) are in
the file as `in.…`; everything else follows from them.
"""
import json
import os
import pathlib
import sys

import model as m
import registry
import requests
import services
import snapshot
import swarm

HERE = pathlib.Path(__file__).parent
SIZE = 1232
TIME = 1_800_000_123
FILL = bytes((7 * i + 3) & 255 for i in range(4 * m.RECORD))


class Vectors(dict):
    """Inputs are taken from the old file, or drawn when it is written."""

    def __init__(self, old):
        super().__init__()
        self.old = old

    def draw(self, name, make=lambda: os.urandom(32)):
        name = "in." + name
        value = bytes.fromhex(self.old[name]) if name in self.old else make()
        self[name] = value
        return value


def payload(mark):
    return bytes((mark + 3 * i) & 255 for i in range(SIZE - 132))


def path(v, suites):
    count = len(suites)
    slots = m.slots_of(count)
    network = v.draw("network")
    nodes, hops, openings, bodies, client_keys = [], [], [], [], []
    for k in range(count):
        node, onion = v.draw(f"node.{k}"), m.XWing(v.draw(f"onion.{k}"))
        ciphertext = v.draw(f"ciphertext.{k}", lambda: onion.encapsulate(os.urandom(32)))
        client_keys.append(v.draw(f"client ephemeral.{k}"))
        shared = onion.decapsulate(ciphertext)
        opening = m.H(onion.public)[:8] + ciphertext + m.x25519_public(client_keys[k])
        nodes.append(node)
        openings.append(opening)
        hops.append(m.HopSecrets(network, node, onion.public, shared, opening))
        v[f"shared.{k}"] = shared
    for k in range(count):
        last = k + 1 == count
        bodies.append(m.body(slots[k], 0 if last else slots[k + 1], suites[k], TIME, bytes(32) if last else nodes[k + 1]))
    seen = m.make_records(hops, openings, bodies, FILL[:(4 - count) * m.RECORD])
    for k in range(count):
        v[f"records.{k}"] = seen[k]

    inner = None
    for k in reversed(range(count)):
        hop_key = v.draw(f"hop ephemeral.{k}")
        public = m.x25519_public(hop_key)
        exchange = m.x25519(hop_key, m.x25519_public(client_keys[k]))
        assert exchange == m.x25519(client_keys[k], public)
        hops[k].agree(exchange, seen[k][:m.RECORD], public)
        inner = m.reply(hops[k], slots[k], public, 0, FILL[:4 * m.REPLY], inner)
        v[f"reply.{k}"] = inner
        v[f"secret.{k}"] = hops[k].secret
    session, leg = hops[-1].session, hops[-1].leg
    v["session secret"], v["leg secret"], v["session id"] = session, leg, m.session_id(session)
    v["join mac"] = m.join_mac(session, 3, leg)

    def layers(direction):
        return [m.Layer(s, getattr(h, direction), getattr(h, direction + "_start")) for s, h in zip(suites, hops)]

    # Two packets each way in epoch 0, one in epoch 1. Bytes 28 to 36 are zero, because layers do not change path ids.
    forward_client, forward_hops = layers("forward"), layers("forward")
    backward_hops, backward_client = layers("backward"), layers("backward")
    for number in range(3):
        if number == 2:
            for layer in forward_client + forward_hops + backward_hops + backward_client:
                layer.ratchet()
        packet = bytearray(132) + payload(number)
        m.client_seal(packet, forward_client)
        for k in range(count):
            v[f"forward.{number}.{k}"] = bytes(packet[36:])
            m.hop_forward(packet, forward_hops[k], slots[k])
        assert packet[36:132] == bytes(96) and packet[132:] == payload(number)
        packet = bytearray(b"\xee" * 132) + payload(0x80 + number)
        for k in reversed(range(count)):
            m.hop_backward(packet, backward_hops[k], slots[k])
            v[f"backward.{number}.{k}"] = bytes(packet[36:])
        for k in range(count):
            backward_client[k].open(packet, slots[k])
        assert packet[132:] == payload(0x80 + number)


def link(v, suite):
    network, client_key = v.draw("network"), v.draw("initiator ephemeral")
    responder, initiator = m.Node(v.draw("responder")), m.Node(v.draw("initiator"))
    answer_key = v.draw("responder ephemeral")
    jar = v.draw("cookie secret")
    v["responder id"], v["initiator id"] = responder.id, initiator.id
    value = m.cookie(jar, bytes(10) + b"\xff\xff\xc0\x00\x02\x07", 40_000)
    v["cookie"] = value
    for name, node, stamp in (("client", None, 0), ("node", initiator, 1_800_000_000_123_456_789)):
        first, noise = m.initiation(network, SIZE, responder, client_key, 0x1234, node, stamp, value)
        second, keys = m.response(noise, SIZE, answer_key, m.x25519_public(client_key), (0x5678, 0x1234), suite, TIME, node)
        v[f"{name} initiation"], v[f"{name} response"] = first, second
        v[f"{name} keys"] = b"".join(keys)
    nonce = v.draw("cookie nonce", lambda: os.urandom(24))
    v["sealed cookie"] = m.sealed_cookie(network, responder.id, value, first[-32:-16], nonce)
    k1, k2 = keys
    psk = m.derive(k1, "rekey", k2)
    for name, key, index in (("initiator", k1, 0x5678), ("responder", k2, 0x1234)):
        start = m.derive_start(key, "control start")
        v[f"{name} control start"] = start.to_bytes(8, "little")
        packet = bytearray(132) + payload(9)
        packet[28:36] = (0x0123456789abcdef).to_bytes(8, "little")
        m.seal_header(packet, suite, m.derive(key, "header"), index, 0)
        v[f"{name} packet"] = bytes(packet)
        packet = bytearray(132) + payload(10)
        m.seal_control(packet, suite, m.derive(key, "control"), start)
        m.seal_header(packet, suite, m.derive(key, "header"), index, 1)
        v[f"{name} control"] = bytes(packet)
    first, second, keys = m.rekey(network, psk, v.draw("rekey ephemeral"), v.draw("rekey answer"), (0x777, 0x888))
    v["rekey"], v["rekey answer"], v["rekey keys"] = first, second, b"".join(keys)


FILES = {
    "path1.json": lambda v: path(v, [2]),
    "path2.json": lambda v: path(v, [2, 1]),
    "path3.json": lambda v: path(v, [2, 2, 2]),
    "path4.json": lambda v: path(v, [1, 2, 1, 1]),
    "link1.json": lambda v: link(v, 1),
    "link2.json": lambda v: link(v, 2),
    "registry.json": registry.vectors,
    "snapshot.json": snapshot.vectors,
    "swarm.json": swarm.vectors,
    "requests.json": requests.vectors,
    "services.json": services.vectors,
}


def published(old):
    """The vectors of the X-Wing draft, as it prints them."""
    for i in range(3):
        get = {name: bytes.fromhex(old[f"{i}.{name}"]) for name in ("seed", "pk", "ct", "ss")}
        key = m.XWing(get["seed"])
        assert key.public == get["pk"] and key.decapsulate(get["ct"]) == get["ss"], f"xwing.json, {i}"


def main(write):
    wrong = 0
    published(json.loads((HERE / "xwing.json").read_text()))
    for name, make in FILES.items():
        file = HERE / name
        old = json.loads(file.read_text()) if file.exists() else {}
        vectors = Vectors(old)
        make(vectors)
        text = json.dumps({key: value.hex() for key, value in vectors.items()}, indent=0, sort_keys=True) + "\n"
        if write:
            file.write_text(text)
        elif not old or json.loads(text) != old:
            differing = [key for key in set(old) | set(vectors) if old.get(key) != getattr(vectors.get(key), "hex", str)()]
            print(f"{name}: {len(differing)} values differ: {', '.join(sorted(differing)[:8])}")
            wrong += 1
    if wrong:
        sys.exit(1)
    print(f"{len(FILES)} files agree" if not write else f"{len(FILES)} files written")


if __name__ == "__main__":
    main("--write" in sys.argv[1:])
