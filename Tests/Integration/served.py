"""A small HTTP server for tests of the proxy."""

import http.server
import threading


class Echo(http.server.BaseHTTPRequestHandler):
    """Repeats the request; closes as requested, and speaks HTTP/1.1."""

    protocol_version = "HTTP/1.1"

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self):
        data = self.body()
        lines = [self.requestline] + [f"{name}: {value}" for name, value in self.headers.items()]
        told = "\n".join(lines).encode() + b"\n\n" + data
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(told)

    do_GET = do_POST = do_PUT = do_HEAD = do_OPTIONS = answer

    def log_message(self, *_):
        pass


class Served:
    """A server on this machine's loopback; `port` is its port."""

    def __init__(self, handler, wrap=None):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        if wrap:
            self.server.socket = wrap.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
