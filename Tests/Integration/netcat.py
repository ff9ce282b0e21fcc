"""Connects standard input and output to HOST PORT through a SOCKS5 proxy: an ssh ProxyCommand."""
import os
import sys
import threading

from peers import socks_connect

host, port = sys.argv[1].rsplit(":", 1)
sock = socks_connect((host, int(port)), sys.argv[2], int(sys.argv[3]))
sock.settimeout(None)


def outwards():
    while data := os.read(0, 65536):
        sock.sendall(data)
    sock.shutdown(1)


threading.Thread(target=outwards, daemon=True).start()
while data := sock.recv(65536):
    os.write(1, data)
