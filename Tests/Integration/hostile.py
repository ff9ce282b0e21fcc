"""A client or node that breaks the protocol, built on the model in Tests/Vectors.

    network = Network(folder / "network.json")
    node = Remote(net.nodes[0].id, net.nodes[0].address)
    with Link(network, node, source="127.0.0.2") as link:
        link.request(GET_DESCRIPTOR, node.id)
        link.send(stream(0, b"abc", offset=100))

A `Link` begins as a client, or as a node with `own=identity(folder)`. It has no congestion control, and repeats only
the messages of `request`. It lives for three minutes, because it makes no new keys. A `Path` uses a `Link`.
"""

import json
import pathlib
import secrets
import select
import socket
import struct
import sys
import time
import types

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Vectors"))

import model  # noqa: E402
from cryptography.exceptions import InvalidTag  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey  # noqa: E402
from frames import Frames, ack, stream, varint  # noqa: E402
from model import nacl  # noqa: E402

BUILD, GET_DESCRIPTOR, GET_BLOCKS, ANNOUNCE, SUBMIT, SUSPECT = 1, 7, 16, 17, 18, 32


class Refused(Exception):
    """The node reset the stream of a message."""


# MARK: Nodes and networks


class Network:
    """The parts of a network file that determine the bytes on the line."""

    def __init__(self, file):
        value = json.loads(pathlib.Path(file).read_text())
        self.id = bytes.fromhex(value["id"])
        self.size = value.get("packetSize", 1392)


class Remote:
    """A remote node, from its text `….snode` and its address."""

    def __init__(self, text, address):
        host, _, port = address.rpartition(":")
        self.address = (host, int(port))
        self.id = node_id(text)
        self.link_public = nacl.crypto_sign_ed25519_pk_to_curve25519(self.id)


def node_id(text):
    """The 32 bytes of a node id in z-base-32."""
    bits = 0
    for letter in text.removesuffix(".snode"):
        bits = bits << 5 | "ybndrfg8ejkmcpqxot1uwisza345h769".index(letter)
    return (bits >> 4).to_bytes(32, "big")


def identity(folder):
    """The node with this data folder."""
    return key(pathlib.Path(folder) / "identity.key")


def key(file):
    """The Ed25519 key in a node's key file without a passphrase."""
    data = pathlib.Path(file).read_bytes()
    if len(data) != 56 or data[:8] != b"tunicid1":
        raise ValueError(f"{file}: expected a key file without a passphrase")
    return model.Node(data[8:40])


# MARK: Links


class Link:
    """A link that this end began, with its control connection; raises TimeoutError if the node does not answer."""

    def __init__(self, network, node, own=None, source="127.0.0.1", timestamp=None, timeout=60):
        self.network, self.node, self.own = network, node, own
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        try:
            self.socket.bind((source, 0))
            self.socket.connect(node.address)
            self.socket.setblocking(False)
            self._handshake(timestamp, time.monotonic() + timeout)
        except BaseException:
            self.socket.close()
            raise
        self.next_stream, self.maximum_streams = 0, 128
        # By stream: the received pieces by offset, and the length once it is known; None after a reset.
        self.answers, self.lengths, self.came = {}, {}, 0
        self.seen, self.owes_ack = set(), False
        self.closed_by, self.paths = None, {}
        self.send(b"\x01")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends this end only; the node is not told."""
        self.socket.close()

    def _handshake(self, timestamp, end):
        if timestamp is None:
            timestamp = time.time_ns() if self.own else 0
        cookie, wait = None, 0.25
        while time.monotonic() < end:
            ephemeral, index = secrets.token_bytes(32), secrets.randbits(24) | 0x100
            datagram, noise = model.initiation(
                self.network.id, self.network.size, self.node, ephemeral, index, self.own, timestamp, cookie)
            self._put(datagram)
            answer = self._answer(index, min(end, time.monotonic() + wait))
            if answer is None:
                wait = min(4, 2 * wait)
                timestamp += 1 if self.own and timestamp < (1 << 64) - 1 else 0
            elif answer[0] == 4:
                key = model.derive(self.network.id, "cookie", model.VERSION + self.node.id)
                cookie = nacl.crypto_aead_xchacha20poly1305_ietf_decrypt(
                    answer[32:64], datagram[-32:-16], answer[8:32], key)
            else:
                return self._finish(noise, ephemeral, index, answer)
        raise TimeoutError(f"no answer to a handshake from {self.node.address}")

    def _answer(self, index, end):
        """The response or the cookie that answers that initiation."""
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.socket], [], [], left)[0]:
                return None
            datagram = self._take()
            if not datagram:
                continue
            kind, first, second = struct.unpack("<III", datagram[:12])
            if (kind, second) == (3, index) or (kind, first) == (4, index):
                return datagram
        return None

    def _finish(self, noise, ephemeral, index, answer):
        theirs, sealed = answer[12:44], answer[44:]
        noise.ephemeral(theirs)
        noise.mix_key(model.x25519(ephemeral, theirs))
        if self.own:
            noise.mix_key(model.x25519(self.own.link_secret, theirs))
        payload = model.ChaCha20Poly1305(noise.k).decrypt(model.nonce(noise.n), sealed, noise.h)
        noise.mix_hash(sealed)
        self.suite = payload[0]
        self.index = index
        self.remote_index, = struct.unpack("<I", answer[4:8])
        out, back = noise.split()
        self.header, self.control = (model.derive(out, label) for label in ("header", "control"))
        self.their_header, self.their_control = (model.derive(back, label) for label in ("header", "control"))
        self.start, self.their_start = (model.derive_start(key, "control start") for key in (out, back))
        self.counter = 0

    # MARK: Packets

    def _put(self, datagram):
        try:
            self.socket.send(datagram)
        except (BlockingIOError, ConnectionRefusedError):
            pass

    def _take(self):
        """The next datagram; None if there is none."""
        try:
            return self.socket.recv(2048)
        except (BlockingIOError, ConnectionRefusedError):
            return None

    def send(self, *frames):
        """Sends a packet of the control connection with exactly these frames."""
        packet = bytearray(b"".join((bytes(132), *frames)).ljust(self.network.size, b"\0"))
        if len(packet) != self.network.size:
            raise ValueError("more frames than a packet holds")
        model.seal_control(packet, self.suite, self.control, self.start + self.counter)
        model.seal_header(packet, self.suite, self.header, self.remote_index, self.counter)
        self.counter += 1
        self._put(packet)

    def send_on_path(self, path_id, packet):
        """Sends a packet whose layers are sealed."""
        packet[28:36] = path_id
        model.seal_header(packet, self.suite, self.header, self.remote_index, self.counter)
        self.counter += 1
        self._put(packet)

    def _open(self, packet):
        """The number and the payload of a packet of the control connection; None for a packet that is passed to its path."""
        if len(packet) != self.network.size or packet[:4] != struct.pack("<I", self.index):
            return None
        counter, = struct.unpack("<Q", packet[4:12])
        try:
            header = model.aead(self.suite, self.their_header).decrypt(
                model.nonce(counter), packet[28:132] + packet[12:28], None)
            if header[:8] != bytes(8):
                if header[:8] in self.paths:
                    self.paths[header[:8]].received(bytearray(packet[:28] + header + packet[132:]))
                return None
            counter, = struct.unpack("<Q", header[80:88])
            payload = model.aead(self.suite, self.their_control).decrypt(
                model.nonce(counter), packet[132:] + header[88:104], None)
        except InvalidTag:
            return None
        return counter - self.their_start, payload

    def receive(self):
        """Reads all received datagrams, and acknowledges them."""
        while packet := self._take():
            opened = self._open(packet)
            if opened is None or opened[0] in self.seen:
                continue
            self.seen.add(opened[0])
            for kind, fields in Frames(opened[1]):
                self._received(kind, fields)
        if len(self.seen) > 4096:
            self.seen = set(sorted(self.seen)[-1024:])
        if self.owes_ack:
            self.owes_ack = False
            # Grants credit for all received bytes, so that a long answer does not stop.
            self.send(ack(self.seen), b"\x10" + varint(self.came + (1 << 20)))

    def _received(self, kind, fields):
        self.owes_ack |= kind not in (0x02, 0x1C)
        if kind == 0x08:
            id, offset, fin, data = fields
            pieces = self.answers.get(id)
            if pieces is not None:
                self.came += len(data) if offset not in pieces else 0
                pieces[offset] = max(pieces.get(offset, b""), data, key=len)
            else:
                self.came += len(data)
            if fin and id in self.answers:
                self.lengths[id] = offset + len(data)
        elif kind in (0x04, 0x05) and fields[0] in self.answers:
            self.answers[fields[0]] = None
        elif kind == 0x12:
            self.maximum_streams = max(self.maximum_streams, fields[0])
        elif kind == 0x1A:
            self.send(b"\x1b" + fields[0])
        elif kind == 0x1C:
            self.closed_by = fields[0]

    # MARK: Messages

    @property
    def room(self):
        """The number of streams that the node still lets this end open."""
        return self.maximum_streams - self.next_stream // 2

    def ask(self, *messages):
        """Sends messages without waiting: `type ‖ body`, each on a separate stream, until `room` is used up.

        Returns the number of sent messages.
        """
        room, frames, length, sent = self.network.size - 132, [], 0, 0
        for message in messages[:max(0, self.room)]:
            frame = stream(self.next_stream, message, fin=True)
            if length + len(frame) > room:
                self.send(*frames)
                frames, length = [], 0
            frames.append(frame)
            length += len(frame)
            self.next_stream += 2
            sent += 1
        if frames:
            self.send(*frames)
        return sent

    def request(self, kind, body=b"", timeout=60):
        """The answer to a message."""
        id, self.next_stream = self.next_stream, self.next_stream + 2
        self.answers[id] = {}
        end, again = time.monotonic() + timeout, 0
        while time.monotonic() < end:
            if time.monotonic() >= again:
                self._put_message(id, bytes([kind]) + body)
                again = time.monotonic() + 0.5
            select.select([self.socket], [], [], 0.1)
            self.receive()
            answer = self._whole(id)
            if answer is not None:
                return answer
            if self.closed_by is not None:
                raise ConnectionError(f"{self.node.address} closed the connection with code {self.closed_by:#x}")
        raise TimeoutError(f"{self.node.address} did not answer message {kind}")

    def _put_message(self, id, message):
        room = self.network.size - 132 - 16
        for at in range(0, len(message), room):
            part = message[at:at + room]
            self.send(stream(id, part, at, fin=at + len(part) == len(message)))

    def _whole(self, id):
        pieces, data = self.answers[id], b""
        if pieces is None:
            raise Refused()
        while len(data) in pieces and pieces[len(data)]:
            data += pieces[len(data)]
        return data if self.lengths.get(id) == len(data) else None


# MARK: Paths


class Path:
    """A path over a link to its first hop, and the first leg of a session with its terminal; `hops` are remotes."""

    def __init__(self, link, hops):
        self.link, self.frames = link, []
        publics = [link.request(GET_DESCRIPTOR, hop.id)[60:1276] for hop in hops]
        keys, openings, ephemerals, bodies = [], [], [], []
        slots = model.slots_of(len(hops))
        for k, (hop, public) in enumerate(zip(hops, publics)):
            ephemeral, exchange = secrets.token_bytes(32), secrets.token_bytes(32)
            ss_m, ct_m = MLKEM768PublicKey.from_public_bytes(public[:1184]).encapsulate()
            ct_x = model.x25519_public(exchange)
            shared = model.XWing.combine(
                types.SimpleNamespace(public=public), ss_m, model.x25519(exchange, public[1184:]), ct_x)
            opening = model.H(public)[:8] + ct_m + ct_x + model.x25519_public(ephemeral)
            is_last = k + 1 == len(hops)
            keys.append(model.HopSecrets(link.network.id, hop.id, public, shared, opening))
            openings.append(opening)
            ephemerals.append(ephemeral)
            bodies.append(model.body(
                slots[k], 0 if is_last else slots[k + 1], link.suite, int(time.time()),
                bytes(32) if is_last else hops[k + 1].id))
        seen = model.make_records(
            keys, openings, bodies, secrets.token_bytes((4 - len(hops)) * model.RECORD))
        self.own_id = secrets.token_bytes(7) + b"\0"
        built = link.request(BUILD, self.own_id + seen[0])
        self.id, replies = built[:8], built[8:]
        for k, hop in enumerate(keys):
            at = (slots[k] - 1) * model.REPLY
            theirs, sealed, behind = replies[at:at + 32], replies[at + 32:at + 112], replies[at + 112:]
            hop.agree(model.x25519(ephemerals[k], theirs), seen[k][:model.RECORD], theirs)
            status = model.ChaCha20Poly1305(hop.reply).decrypt(model.nonce(0), sealed, theirs + behind)[0]
            if status:
                raise ConnectionError(f"hop {k + 1} answers with status {status}")
            if behind:
                replies = replies[:at + 112] + model.xor(behind, model.stream(hop.reply_stream, len(behind)))
        self.layers = [model.Layer(link.suite, hop.forward, hop.forward_start) for hop in keys]
        self.back = [model.Layer(link.suite, hop.backward, hop.backward_start) for hop in keys]
        self.slots = slots
        link.paths[self.own_id] = self

    def send(self, *frames):
        """Sends a packet of the session to the terminal, beginning with a LEG_HELLO that opens a new one."""
        packet = bytearray(b"".join((bytes(132), b"\x20\0\0", *frames)).ljust(self.link.network.size, b"\0"))
        model.client_seal(packet, self.layers)
        self.link.send_on_path(self.id, packet)

    def received(self, packet):
        """Opens the layers of a packet of the path and keeps its frames."""
        for layer, slot in zip(self.back, self.slots):
            layer.open(packet, slot)
        self.frames += Frames(bytes(packet[132:]))

    def wait_for(self, kind, timeout=60):
        """The fields of a received frame of that type, which is removed; waits for one if necessary."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.link.receive()
            for number, (found, fields) in enumerate(self.frames):
                if found == kind:
                    del self.frames[number]
                    return fields
            select.select([self.link.socket], [], [], 0.1)
        raise TimeoutError(f"no frame of type {kind:#x} came over the path")
