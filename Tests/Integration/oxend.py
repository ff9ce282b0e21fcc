"""A stand-in for an oxend daemon: the JSON-RPC calls that a node beside one makes, by oxend's own definitions.

    with Oxend(keys=[KEY, ...], block_seconds=1) as daemon:
        daemon.url                  # what --oxend takes
        daemon.pings                # the parameters of each lokinet_ping
        daemon.behave = "silent"    # or "stall", "garbage", "empty", "error", "back", "forbidden", "syncing"

Field names, types and units are those of docs/oxend.md. It serves the last block of a chain that grows by itself, or is grown
by `daemon.mine()` when `block_seconds` is 0. Keys are Ed25519 seeds of 32 bytes; the first is the daemon's own.
"""

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Ed25519 (RFC 8032), as far as a public key needs it.
_P = 2**255 - 19
_D = -121665 * pow(121666, _P - 2, _P) % _P


def _add(a, b):
    (x1, y1, z1, t1), (x2, y2, z2, t2) = a, b
    m, n = (y1 - x1) * (y2 - x2) % _P, (y1 + x1) * (y2 + x2) % _P
    c, d = 2 * t1 * t2 * _D % _P, 2 * z1 * z2 % _P
    e, f, g, h = n - m, d - c, d + c, n + m
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def public_key(seed):
    """The Ed25519 public key of a 32-byte seed."""
    digest = bytearray(hashlib.sha512(seed).digest()[:32])
    digest[0] &= 248
    digest[31] = digest[31] & 127 | 64
    scalar = int.from_bytes(digest, "little")
    y = 4 * pow(5, _P - 2, _P) % _P
    x2 = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(x2, (_P + 3) // 8, _P)
    if (x * x - x2) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if x & 1:
        x = _P - x
    point, result = (x, y, 1, x * y % _P), (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    inverse = pow(result[2], _P - 2, _P)
    x, y = result[0] * inverse % _P, result[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def identity_seed(folder):
    """The seed in a node's data folder."""
    return (folder / "identity.key").read_bytes()[8:40]


class Oxend:
    """One daemon with its own chain, or with the chain of the daemon `chain`."""

    OPERATOR = "0x%040x"
    REQUIREMENT = 25_000_000_000_000  # atomic units
    # How long a reported failure counts, and how old the first one must be: seconds (`REACHABLE_MAX_FAILURE_VALIDITY`;
    # `UPTIME_PROOF_VALIDITY` - `UPTIME_PROOF_FREQUENCY`).
    FAILURE_VALIDITY, GRACE = 5 * 60, 65 * 60

    def __init__(self, keys, block_seconds=1.0, height=1_000, chain=None, hurry=1):
        self.seeds = list(keys)
        self.keys = [public_key(seed).hex() for seed in keys]
        self.chain = chain or self
        self.block_seconds, self.start_height, self.began = block_seconds, height, time.time()
        self.mined = 0
        self.states = {key: "active" for key in self.keys}
        self.behave = "well"
        self.pings, self.ping_times, self.reports, self.calls = [], [], [], []
        self.names = {}
        self.header_heights = []
        self.hurry = hurry  # divides the times of reports
        self.reachable = {}  # by key: the times of the last pass, of the first failure since, and of the last failure

    @property
    def height(self):
        grown = int((time.time() - self.began) / self.block_seconds) if self.block_seconds else self.mined
        return self.start_height + grown

    def mine(self, count=1):
        self.mined += count

    def hash(self, height):
        return hashlib.sha256(b"block %d" % height).hexdigest()

    def timestamp(self, height):
        return int(self.chain.began + (height - self.chain.start_height) * (self.chain.block_seconds or 1))

    def __enter__(self):
        daemon = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path != "/json_rpc":
                    return self.send_error(404)
                answer = daemon.answer(json.loads(body))
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

            def handle(self):
                # The other end may close the connection at any time.
                try:
                    super().handle()
                except (BrokenPipeError, ConnectionResetError):
                    pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request):
        method, parameters = request["method"], request.get("params", {})
        self.calls.append(method)
        behave = self.behave
        if behave == "silent":
            return None
        if behave == "stall":
            while self.behave == "stall":
                time.sleep(0.1)
            return None
        if behave == "garbage":
            return b"<html>\x00\xff" + b"[" * 10_000
        if behave == "error":
            return self.reply(request, error={"code": -32603, "message": "Internal error"})
        if behave == "forbidden" and method not in ("get_service_nodes", "get_block_header_by_height", "ons_resolve"):
            return self.reply(request, error={
                "code": 403, "message": "Forbidden; this command is not available over public RPC"})
        call = getattr(self, method, None)
        if call is None or method.startswith("_"):
            return self.reply(request, error={"code": -32601, "message": "Method not found"})
        return self.reply(request, result=call(parameters))

    @staticmethod
    def reply(request, **body):
        return json.dumps({"jsonrpc": "2.0", "id": request.get("id"), **body}).encode()

    # The calls, by their names.

    def get_service_nodes(self, parameters):
        fields = set(parameters["fields"])
        height = self.chain.height - (500 if self.behave == "back" else 0)
        target = height + 5_000 if self.behave == "syncing" else height + 1
        top = self.chain.hash(height)
        answer = {"status": "OK", "height": height, "target_height": target, "hardfork": 21, "snode_revision": 0,
                  "block_hash": top}
        answer = {name: value for name, value in answer.items() if name in fields or name == "status"}
        if parameters.get("poll_block_hash"):
            answer["unchanged"] = parameters["poll_block_hash"] == top
            answer["block_hash"] = top
            if answer["unchanged"]:
                return answer
        answer["service_node_states"] = [] if self.behave == "empty" else [
            {name: value for name, value in state.items() if name in fields} for state in self._states(height)]
        return answer

    def _states(self, height):
        for number, (key, state) in enumerate(self.chain.states.items()):
            if state == "gone":
                continue
            operator = self.OPERATOR % (number + 1)
            yield {
                "service_node_pubkey": key, "pubkey_ed25519": key, "active": state == "active",
                "funded": state != "open", "operator_address": operator, "operator_fee": 100_000,
                "contributors": [{"amount": self.REQUIREMENT, "address": operator, "beneficiary": operator}],
                "total_contributed": self.REQUIREMENT, "staking_requirement": self.REQUIREMENT,
                "registration_height": 7, "requested_unlock_height": 0, "state_height": 9,
                "earned_downtime_blocks": 1_440, "decommission_count": 0, "last_uptime_proof": int(time.time()),
                "swarm_id": 2**63 + number, "portions_for_operator": 2**64 - 4,
            }

    def get_block_header_by_height(self, parameters):
        def header(height):
            return {"height": height, "hash": self.chain.hash(height), "timestamp": self.timestamp(height), "reward": 0}

        self.header_heights += parameters.get("heights", [])
        answer = {"status": "OK"}
        if "height" in parameters:
            answer["block_header"] = header(parameters["height"])
        if parameters.get("heights"):
            answer["block_headers"] = [header(height) for height in parameters["heights"]]
        return answer

    def get_service_privkeys(self, _):
        return {"status": "OK", "service_node_privkey": "", "service_node_x25519_privkey": "00" * 32,
                "service_node_ed25519_privkey": self.seeds[0].hex() + self.keys[0] if self.seeds else ""}

    def lokinet_ping(self, parameters):
        self.ping_times.append(time.monotonic())
        self.pings.append(parameters)
        if parameters.get("error"):
            return {"status": f"Error: {parameters['error']}"}
        if parameters["version"] < [0, 9, 11]:
            return {"status": "Outdated Lokinet"}
        if parameters["pubkey_ed25519"] != self.keys[0]:
            return {"status": f"Invalid Lokinet pubkey: expected {self.keys[0]}"}
        return {"status": "OK"}

    def report_peer_status(self, parameters):
        assert parameters["type"] == "lokinet" and isinstance(parameters["passed"], bool)
        key, passed, now = parameters["pubkey"], parameters["passed"], time.monotonic()
        self.reports.append((key, passed))
        last_pass, first_failure, last_failure = self.reachable.get(key, (0, 0, 0))
        self.reachable[key] = (now, 0, last_failure) if passed else (last_pass, first_failure or now, now)
        return {"status": "OK"}

    def unreachable(self):
        """The keys of the nodes that fail a testing quorum's check now."""
        now = time.monotonic()
        return {key for key, (last_pass, first, last) in list(self.reachable.items())
                if last > last_pass and now - last < self.FAILURE_VALIDITY / self.hurry
                and first and now - first >= self.GRACE / self.hurry}

    def ons_resolve(self, parameters):
        assert parameters["type"] == 2 and len(parameters["name_hash"]) == 64
        found = self.names.get(parameters["name_hash"])
        return {"encrypted_value": found[0], "nonce": found[1]} if found else {}
