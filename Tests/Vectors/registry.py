"""The part of docs/registry.md that the vectors need, in plain Python; it shares no code with the Swift sources.

A year of a small network: four nodes with uneven shares and fees, one of which joins late, a fee paid on the way, one
distribution a day. Every operation, the pool and all rewards of each day, and the whole state at the end are vectors.
"""
import hashlib
import struct
from fractions import Fraction
from math import ceil, floor

from nacl import bindings as nacl

SESH = 10**9
FULL = 25_000 * SESH
DAY = 86_400
START = 1_800_000_000
WHOLE = 10_000


def H(x):
    return hashlib.blake2b(x, digest_size=32).digest()


class Key:
    def __init__(self, name):
        self.seed = H(b"registry vectors " + name.encode())
        self.public, self.secret = nacl.crypto_sign_seed_keypair(self.seed)

    def sign(self, message):
        return nacl.crypto_sign(message, self.secret)[:64]


NETWORK = H(b"registry vectors network")
TREASURY = Key("treasury")
ACCOUNTS = [Key(f"account {i}") for i in range(14)]
NODES = [Key(f"node {i}") for i in range(4)]
BALANCE = 100_000 * SESH + 7
POOL = 40_000_000 * SESH + 123_456_789

# The operator's fee, the day of joining, and (account, amount) in order, the operator first.
PLAN = [
    (0, 0, [(0, FULL)]),
    (1_000, 0, [(1, FULL // 4), (2, FULL // 4 + 1), (3, 5_000 * SESH + 333), (4, FULL // 8), (5, None)]),
    (10_000, 0, [(6, FULL * 2 // 5 + 1), (7, None)]),
    (1, 100, [(1, FULL * 3 // 10)] + [(i, None if i == 12 else FULL * 7 // 100 + 3 * i + 1000) for i in range(3, 13)]),
]
FEE_DAY, FEE = 200, 12_345_678_912_345
# A new account that receives amounts from the last account, twice.
NEWCOMER = Key("newcomer")
TRANSFERS = {50: 3 * SESH + 1, 51: 5}
# The number of operators whose reports a node keeps; it is less than their number, so that old reports go.
REPORTS = 2
# The operation fee.
OPERATION_FEE = SESH // 100
NOBODY = bytes(32)


def stakes(plan):
    """The plan with the last contribution, which fills the missing stake."""
    known = sum(amount for _, amount in plan if amount is not None)
    return [(account, FULL - known if amount is None else amount) for account, amount in plan]


def parameters():
    month = 30 * DAY
    return (
        struct.pack("<QBHQHIIIHIHH", FULL, 10, 2_500, 0, 2_500, month, 15 * DAY, month, 1_400, DAY, 365, 9_000)
        + TREASURY.public
        + struct.pack("<IIIIIBBHHI", 7_200, 2_880, DAY, 48 * 3600, 3_600, 10, 7, 60, 10_000, 1_000)
        + struct.pack("<QIBQ", SESH, 100_000, REPORTS, OPERATION_FEE)
        + struct.pack("<BHII", 3, 6_666, 12 * 3600, 3 * DAY))


def operation(kind, key, nonce, body, until=2**64 - 1):
    message = struct.pack("<BB", 1, kind) + NETWORK + key.public + struct.pack("<QQ", nonce, until) + body
    return message + key.sign(b"tunic registry operation\0" + message)


def register(key, nonce, node, fee, stake):
    values = node.public + struct.pack("<HQ", fee, stake)
    proof = node.sign(b"tunic registry node\0" + NETWORK + key.public + struct.pack("<Q", nonce) + values)
    return operation(1, key, nonce, values + proof)


def ballot(verdict, node, height, block):
    return (
        b"tunic registry vote\0" + NETWORK + bytes([verdict]) + node.public + struct.pack("<Q", height) + block)


def judge(key, nonce, verdict, node, height, block, voters):
    votes = b"".join(bytes([place]) + k.sign(ballot(verdict, node, height, block)) for place, k in voters)
    return operation(
        6, key, nonce, bytes([verdict]) + node.public + struct.pack("<Q", height) + bytes([len(voters)]) + votes)


def report(reporter, height, measured):
    """An operation without an account: the reporter signs its measurements, by ascending node."""
    head, entries = reporter.public + struct.pack("<Q", height), bytes([len(measured)])
    for node in sorted(measured):
        entries += node + struct.pack("<I", measured[node])
    proof = reporter.sign(b"tunic registry report\0" + NETWORK + head + entries)
    return struct.pack("<BB", 1, 11) + NETWORK + NOBODY + bytes(16) + head + entries + proof + bytes(64)


def maintain(node, seconds, height):
    """An operation without an account: the node signs that it takes itself out of service for `seconds`."""
    body = node.public + struct.pack("<IQ", seconds, height)
    proof = node.sign(b"tunic registry maintenance\0" + NETWORK + body)
    return struct.pack("<BB", 1, 12) + NETWORK + NOBODY + bytes(16) + body + proof + bytes(64)


# ECVRF-EDWARDS25519-SHA512-TAI (RFC 9381) over plain integers.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def sha512(x):
    return hashlib.sha512(x).digest()


def add(a, b):
    product = D * a[0] * b[0] * a[1] * b[1] % P
    return (
        (a[0] * b[1] + a[1] * b[0]) * pow(1 + product, -1, P) % P,
        (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, P) % P)


def times(scalar, point):
    total = (0, 1)
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point, scalar = add(point, point), scalar >> 1
    return total


def pack(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def unpack(data):
    """The point, or None if the bytes are not a point (RFC 8032, section 5.1.3)."""
    number = int.from_bytes(data, "little")
    y, sign = number & (2**255 - 1), number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or x * x % P != square or (x == 0 and sign):
        return None
    return (P - x if x & 1 != sign else x, y)


BASE = unpack((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def random_value(key, alpha):
    """The proof of a key's value for an input, and the value."""
    secret = sha512(key.seed)
    x = int.from_bytes(secret[:32], "little") & (2**254 - 8) | 2**254
    counter, h = 0, None
    while h is None:
        h = unpack(sha512(b"\3\1" + key.public + alpha + bytes([counter, 0]))[:32])
        counter += 1
    h = times(8, h)
    gamma = times(x, h)
    k = int.from_bytes(sha512(secret[32:] + pack(h)), "little") % ORDER
    points = b"".join(pack(point) for point in (h, gamma, times(k, BASE), times(k, h)))
    c = sha512(b"\3\2" + key.public + points + b"\0")[:16]
    s = (k + int.from_bytes(c, "little") * x) % ORDER
    return pack(gamma) + c + s.to_bytes(32, "little"), sha512(b"\3\3" + pack(times(8, gamma)) + b"\0")


def turn(height, seed):
    return b"tunic ledger turn\0" + NETWORK + struct.pack("<Q", height) + seed


def median(values):
    return sorted(values)[(len(values) - 1) // 2]


def placement(node, block):
    return int.from_bytes(H(b"tunic placement\0" + NETWORK + node + block)[:8], "little")


def block_hash(height):
    return H(b"block" + struct.pack("<Q", height))


def seed_of(height):
    return H(b"seed" + struct.pack("<Q", height))


def quorum(nodes, height, size):
    """The nodes of the lowest ranks, one more than `size`."""
    head = b"tunic registry quorum\0" + NETWORK + struct.pack("<Q", height) + seed_of(height)
    return sorted(nodes, key=lambda node: H(head + node))[:size + 1]


def vectors(v):
    v["network"], v["treasury"] = NETWORK, TREASURY.public
    v["accounts"] = b"".join(key.seed for key in ACCOUNTS)
    v["nodes"] = b"".join(key.seed for key in NODES)
    v["genesis"] = struct.pack("<QQQ", START, POOL, BALANCE)

    # One operation of each kind; the Swift tests make the same operations, and read these.
    a, n = ACCOUNTS[0], NODES[0]
    samples = [
        register(a, 0, n, 1_234, FULL),
        operation(2, a, 1, n.public + struct.pack("<QH", 5 * SESH, 1_234)),
        operation(3, a, 2, n.public),
        operation(4, a, 3, n.public + struct.pack("<H", 77)),
        operation(5, a, 4, n.public),
        judge(a, 5, 2, n, 9, block_hash(9), [(0, NODES[1]), (3, NODES[2]), (9, NODES[3])]),
        operation(7, a, 6, b""),
        operation(8, a, 7, b"", until=720),
        operation(9, a, 2**64 - 1, struct.pack("<Q", 10)),
        operation(10, a, 8, NEWCOMER.public + struct.pack("<Q", 2 * SESH)),
        report(n, 9, {NODES[1].public: 4_000, NODES[2].public: 0}),
        maintain(n, 3_600, 9),
    ]
    for i, sample in enumerate(samples):
        v[f"operation.{i + 1}"] = sample

    # The quorum that a block draws from thirty nodes.
    crowd = [H(b"crowd" + bytes([i])) for i in range(30)]
    v["crowd"], v["crowd quorum"] = b"".join(crowd), b"".join(quorum(crowd, 7, 10))

    # Five seeds in a row, each with another maker.
    seed = bytes(32)
    for height in range(1, 6):
        proof, value = random_value(ACCOUNTS[height], turn(height, seed))
        seed = H(b"tunic ledger seed\0" + value)
        v[f"turn.{height}"] = proof + seed

    # A block with two operations, and what names it.
    operations = struct.pack("<H", 2) + b"".join(struct.pack("<H", len(x)) + x for x in samples[:2])
    content = bytes([2]) + NETWORK + struct.pack("<QQ", 5, START) + block_hash(4) + H(b"random") + b"\3"
    content += random_value(ACCOUNTS[3], turn(5, seed_of(4)))[0] + H(b"tunic ledger operations\0" + operations)
    digest = H(b"block state")
    v["block"], v["block hash"] = content + digest + operations, H(b"tunic ledger block\0" + content + digest)
    v["block content hash"] = H(b"tunic ledger content\0" + content)
    v["block placement"] = struct.pack("<Q", placement(NODES[0].public, v["block content hash"]))

    # The year.
    balances = {i: BALANCE for i in range(len(ACCOUNTS))}
    rewards = {i: 0 for i in range(len(ACCOUNTS))}
    nonces = {i: 0 for i in range(len(ACCOUNTS))}
    pool, fees, active, joined, applied = POOL, 0, [], {}, 0
    quorums, pools, paid = [], [], []
    reports = {i: {} for i in range(4)}  # of each node: operator -> (height, time, capacity)
    newcomer = 0

    def next_nonce(account):
        """The nonce of an account's next operation, whose fee goes from the account to the pool."""
        nonlocal pool
        nonces[account] += 1
        balances[account] -= OPERATION_FEE
        pool += OPERATION_FEE
        return nonces[account] - 1

    for day in range(366):
        height, done = day + 1, []
        quorums.append((height, quorum([NODES[i].public for i in active], height, 10)))
        for i, (fee, first, plan) in enumerate(PLAN):
            if first != day:
                continue
            parts = stakes(plan)
            assert sum(amount for _, amount in parts) == FULL
            for place, (account, amount) in enumerate(parts):
                balances[account] -= amount
                key, nonce = ACCOUNTS[account], next_nonce(account)
                if place == 0:
                    done.append(register(key, nonce, NODES[i], fee, amount))
                else:
                    missing = FULL - sum(x for _, x in parts[:place])
                    assert amount >= ceil(Fraction(missing, 10 - (place - 1))), (i, place)
                    done.append(operation(2, key, nonce, NODES[i].public + struct.pack("<QH", amount, fee)))
            active.append(i)
            joined[i] = (height, START + day * DAY, fee, parts)
        if day == FEE_DAY:
            done.append(operation(9, ACCOUNTS[0], next_nonce(0), struct.pack("<Q", FEE)))
            balances[0] -= FEE
            to_pool = floor(Fraction(FEE * 9, 10))
            pool, fees = pool + to_pool, fees + FEE - to_pool
        if day in TRANSFERS:
            done.append(operation(10, ACCOUNTS[13], next_nonce(13), NEWCOMER.public + struct.pack("<Q", TRANSFERS[day])))
            balances[13] -= TRANSFERS[day]
            newcomer += TRANSFERS[day]
        if day % 30 == 29:
            # Each month another node of the quorum reports on all nodes of other operators.
            chosen = [i for i in range(4) if NODES[i].public in quorums[-1][1]]
            maker = chosen[day // 30 % len(chosen)]
            owner = joined[maker][3][0][0]
            others = [i for i in chosen if joined[i][3][0][0] != owner]
            done.append(report(NODES[maker], height, {NODES[i].public: 1_000 * i + day for i in others}))
            for i in others:
                reports[i][owner] = (height, START + day * DAY, 1_000 * i + day)
                if len(reports[i]) > REPORTS:
                    del reports[i][min(reports[i], key=lambda o: (reports[i][o][0], ACCOUNTS[o].public))]
        if day > 0:
            each = floor(Fraction(floor(Fraction(pool) * Fraction(14, 100) / 365), len(active)))
            for i in active:
                _, _, fee, parts = joined[i]
                rest = each - floor(Fraction(each * fee, WHOLE))
                shares = {account: floor(rest * Fraction(amount, FULL)) for account, amount in parts[1:]}
                shares[parts[0][0]] = each - sum(shares.values())
                for account, amount in shares.items():
                    rewards[account] += amount
                pool -= each
            # The fee of this operation comes after the distribution.
            done.append(operation(7, ACCOUNTS[13], next_nonce(13), b""))
        applied = len(done)
        v[f"day.{day:03}"] = b"".join(struct.pack("<H", len(x)) + x for x in done)
        pools.append(pool)
        paid.append([rewards[i] for i in range(len(ACCOUNTS))])
    v["pools"] = struct.pack(f"<{len(pools)}Q", *pools)
    v["rewards"] = b"".join(struct.pack("<14Q", *day) for day in paid)

    supply = POOL + BALANCE * len(ACCOUNTS)
    assert pool + fees + newcomer + sum(balances.values()) + sum(rewards.values()) + len(active) * FULL == supply
    state = bytes([2]) + NETWORK + parameters()
    state += struct.pack("<QQQIQQQ", supply, 366, START + 365 * DAY, applied, START + 365 * DAY, pool, fees)
    held = [(key.public, struct.pack("<QQQ", balances[i], rewards[i], nonces[i])) for i, key in enumerate(ACCOUNTS)]
    held.append((TREASURY.public, bytes(24)))
    held.append((NEWCOMER.public, struct.pack("<QQQ", newcomer, 0, 0)))
    state += struct.pack("<I", len(held)) + b"".join(key + values for key, values in sorted(held))
    state += struct.pack("<I", len(active))
    for i in sorted(active, key=lambda i: NODES[i].public):
        height, since, fee, parts = joined[i]
        state += NODES[i].public + struct.pack("<BHQQQQQQ", 2, fee, height, since, 10_800, since, 0, 0)
        state += struct.pack("<QB", placement(NODES[i].public, block_hash(height)), len(parts))
        state += b"".join(ACCOUNTS[account].public + struct.pack("<Q", amount) for account, amount in parts)
        state += bytes([len(reports[i])])
        for owner in sorted(reports[i], key=lambda o: ACCOUNTS[o].public):
            state += ACCOUNTS[owner].public + struct.pack("<QQI", *reports[i][owner])
    state += struct.pack("<I", 0) + struct.pack("<H", 60)
    for height, chosen in quorums[-60:]:
        state += struct.pack("<Q", height) + block_hash(height) + seed_of(height) + bytes([len(chosen)]) + b"".join(chosen)
    v["weights"] = struct.pack(
        "<4I", *(median([c for _, _, c in reports[i].values()]) for i in sorted(active, key=lambda i: NODES[i].public)))
    v["state"], v["state digest"] = state, H(b"tunic registry state\0" + state)
