"""Requests, small servers, and a connection through a proxy, for tests of a running process' interfaces."""

import http.client
import json
import socket
import subprocess

from devnet import Devnet


def request(control, command, argument=None):
    """One request over a control socket, with an argument."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(control)
        line = {"command": command, **({"argument": argument} if argument else {})}
        connection.sendall(json.dumps(line).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            part = connection.recv(65536)
            if not part:
                break
            answer += part
    return json.loads(answer)


def http_request(address, method, path, headers=None):
    host, port = address
    connection = http.client.HTTPConnection(host, port, timeout=60)
    try:
        connection.putrequest(method, path, skip_host="Host" in (headers or {}))
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


def server(test, program):
    process = subprocess.Popen(["python3", "-c", program], stdout=subprocess.PIPE, text=True)
    test.addCleanup(process.stdout.close)
    test.addCleanup(process.wait)
    test.addCleanup(process.kill)
    return int(process.stdout.readline())


def echo_port(test):
    return server(test, "import socket,threading\n"
                  "s=socket.create_server(('127.0.0.1',0));print(s.getsockname()[1],flush=True)\n"
                  "def run(c):\n while True:\n  d=c.recv(65536)\n  if not d: break\n  c.sendall(d)\n c.close()\n"
                  "while True: threading.Thread(target=run,args=(s.accept()[0],),daemon=True).start()")


def http_port(test):
    return server(test, "import socket\n"
                  "s=socket.create_server(('127.0.0.1',0));print(s.getsockname()[1],flush=True)\n"
                  "while True:\n c=s.accept()[0];c.recv(4096)\n c.sendall(b'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\n192.0.2.7\\n');c.close()")


def source_port(test):
    return server(test, "import socket,threading\n"
                  "s=socket.create_server(('127.0.0.1',0));print(s.getsockname()[1],flush=True)\n"
                  "def run(c):\n try:\n  while True: c.sendall(b'x'*65536)\n except OSError: c.close()\n"
                  "while True: threading.Thread(target=run,args=(s.accept()[0],),daemon=True).start()")


class Through:
    """The part of a network that Devnet.connect needs: the address of its proxy."""

    def __init__(self, socks):
        host, port = socks.rsplit(":", 1)
        self.socks = (host, int(port))

    _destination = staticmethod(Devnet._destination)
    _read = staticmethod(Devnet._read)
    _expect = Devnet._expect
