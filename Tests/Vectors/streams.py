"""The bytes of requests, replies and datagrams of a session's streams, by docs/protocol.md, section 7.1.

    streams.py          compares with streams.json
    streams.py write    writes it
"""
import ipaddress
import json
import pathlib
import struct
import sys

FILE = pathlib.Path(__file__).with_name("streams.json")


def host(text):
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return b"\x03" + bytes([len(text)]) + text.encode()
    return bytes([1 if address.version == 4 else 2]) + address.packed


def destination(text, port):
    return host(text) + struct.pack("<H", port)


def request(kind, text, port):
    return bytes([1, kind]) + destination(text, port)


def records(*entries):
    return bytes([0, len(entries)]) + b"".join(struct.pack("<IH", ttl, len(data)) + data for ttl, data in entries)


def labels(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def values():
    data = bytes(range(16))
    yield "request tcp", request(1, "example.org", 443)
    yield "request resolve", request(2, "example.org", 0)
    yield "request pointer", request(3, "192.0.2.1", 0)
    yield "request udp", request(4, "0.0.0.0", 0)
    yield "request records", request(5, "example.org", 65)
    yield "datagram v4", destination("192.0.2.1", 53) + data
    yield "datagram v6", destination("2001:db8::1", 53) + data
    yield "datagram name", destination("example.org", 443) + data
    yield "datagram empty", destination("192.0.2.1", 53)
    yield "records address", records((60, ipaddress.ip_address("192.0.2.1").packed), (300, ipaddress.ip_address("192.0.2.2").packed))
    yield "records mail", records((300, struct.pack(">H", 10) + labels("mail.example.org")))
    yield "records none", records()
    yield "records failed", bytes([4])


def main():
    found = {name: value.hex() for name, value in values()}
    if sys.argv[1:] == ["write"]:
        FILE.write_text(json.dumps(found, indent=1) + "\n")
    elif json.loads(FILE.read_text()) != found:
        sys.exit("streams.json differs from the model")
    print(f"{len(found)} values of streams.json")


main()
