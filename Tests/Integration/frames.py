"""Frames of the transport as bytes, for a peer by hand."""


def varint(value):
    for size, tag in ((1, 0), (2, 0x40), (4, 0x80), (8, 0xC0)):
        if value < 1 << (8 * size - 2):
            data = bytearray(value.to_bytes(size, "big"))
            data[0] |= tag
            return bytes(data)
    raise ValueError(value)


def stream(id, data, offset=0, fin=False):
    """A STREAM frame with an offset and a length."""
    return bytes([0x0E | fin]) + varint(id) + varint(offset) + varint(len(data)) + data


def ack(numbers):
    """An ACK frame of leg 0 for the highest ranges of a set of packet numbers."""
    ranges = []
    for number in sorted(numbers, reverse=True):
        if ranges and ranges[-1][0] == number + 1:
            ranges[-1][0] = number
        elif len(ranges) == 32:
            break
        else:
            ranges.append([number, number])
    low, high = ranges[0]
    frame = b"\x02\x00" + varint(high) + varint(0) + varint(len(ranges) - 1) + varint(high - low)
    for next_low, next_high in ranges[1:]:
        frame += varint(low - next_high - 2) + varint(next_high - next_low)
        low = next_low
    return frame


class Frames:
    """Reads a payload frame by frame: (type, fields), data last."""

    def __init__(self, payload):
        self.data, self.at = payload, 0

    def bytes(self, count):
        self.at += count
        return self.data[self.at - count:self.at]

    def v(self):
        size = 1 << (self.data[self.at] >> 6)
        return int.from_bytes(self.bytes(size), "big") & ((1 << (8 * size - 2)) - 1)

    def __iter__(self):
        while self.at < len(self.data) and self.data[self.at]:
            kind = self.bytes(1)[0]
            if 0x08 <= kind <= 0x0F:
                id = self.v()
                offset = self.v() if kind & 4 else 0
                count = self.v() if kind & 2 else len(self.data) - self.at
                yield 0x08, (id, offset, bool(kind & 1), self.bytes(count))
            elif kind == 0x02:
                leg, largest = self.bytes(1)[0], (self.v(), self.v())[0]
                further = self.v()
                for _ in range(1 + 2 * further):
                    self.v()
                yield kind, (leg, largest)
            elif kind in (0x1A, 0x1B):
                yield kind, (self.bytes(8),)
            else:
                fields = {0x01: 0, 0x04: 3, 0x05: 2, 0x10: 1, 0x11: 2, 0x12: 1, 0x1C: 1}[kind]
                yield kind, tuple(self.v() for _ in range(fields))
