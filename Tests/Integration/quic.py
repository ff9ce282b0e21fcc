"""QUIC through a UDP association: `python3 quic.py PROXY_HOST PROXY_PORT SIZE`; needs aioquic.

Prints the size of the server's answer as `ok SIZE`. aioquic does not support proxies, so a local port stands between: it puts
each datagram into the association, and takes answers out.
"""
import asyncio
import datetime
import hashlib
import os
import socket
import sys
import tempfile
import threading

from aioquic.asyncio import connect, serve
from aioquic.quic.configuration import QuicConfiguration
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from network import free_port
from udp import Association


def certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.utcnow()
    signed = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False).sign(key, hashes.SHA256()))
    files = f"{folder}/cert.pem", f"{folder}/key.pem"
    with open(files[0], "wb") as file:
        file.write(signed.public_bytes(serialization.Encoding.PEM))
    with open(files[1], "wb") as file:
        file.write(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return files


def bridge(association, port):
    """A local port whose datagrams go to localhost:port through the association, and whose answers come back."""
    local = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    local.bind(("127.0.0.1", 0))
    peer = []

    def out():
        while True:
            data, source = local.recvfrom(65536)
            peer[:] = [source]
            association.send("localhost", port, data)

    def back():
        while True:
            _, _, data = association.receive(60)
            if peer:
                local.sendto(data, peer[0])

    for work in (out, back):
        threading.Thread(target=work, daemon=True).start()
    return local.getsockname()[1]


async def answer(reader, writer):
    size = int((await reader.read(-1)).decode())
    body = os.urandom(size)
    writer.write(hashlib.sha256(body).digest() + body)
    writer.write_eof()


async def main(proxy, size):
    with tempfile.TemporaryDirectory() as folder:
        cert, key = certificate(folder)
        server = QuicConfiguration(is_client=False, alpn_protocols=["test"])
        server.load_cert_chain(cert, key)
        port = free_port()
        await serve(
            "127.0.0.1", port, configuration=server,
            stream_handler=lambda reader, writer: asyncio.ensure_future(answer(reader, writer)))
        with Association(proxy, timeout=60) as association:
            client = QuicConfiguration(alpn_protocols=["test"], server_name="localhost")
            client.load_verify_locations(cert)
            async with connect("127.0.0.1", bridge(association, port), configuration=client) as protocol:
                reader, writer = await protocol.create_stream()
                writer.write(str(size).encode())
                writer.write_eof()
                data = await asyncio.wait_for(reader.read(-1), 60)
            assert hashlib.sha256(data[32:]).digest() == data[:32] and len(data) == size + 32
            print("ok", size, flush=True)
            os._exit(0)


asyncio.run(main((sys.argv[1], int(sys.argv[2])), int(sys.argv[3])))
