"""What callgrind wrote: instructions by object and function, and which of them are the cipher's."""

import collections
import os
import shutil
import subprocess

CIPHER_OBJECTS = ("libsodium", "libcrypto")
# GLIBC_TUNABLES under callgrind, which counts each byte of `rep movsb` as an instruction.
NO_REP = "glibc.cpu.x86_rep_movsb_threshold=1000000000:glibc.cpu.x86_rep_stosb_threshold=1000000000"


def boring_functions(program):
    """The names of all functions of BoringSSL, whose object files stand beside `program`, those that are not exported too."""
    names = set()
    for kind in ("CCryptoBoringSSL", "CCryptoBoringSSLShims"):
        for folder, _, files in os.walk(os.path.join(os.path.dirname(program), kind + ".build")):
            objects = [os.path.join(folder, name) for name in files if name.endswith(".o")]
            if not objects:
                continue
            text = subprocess.run(["nm", "--defined-only", "-P", *objects], capture_output=True, text=True).stdout
            names.update(line.split()[0] for line in text.splitlines() if " t " in line.lower())
    return names


class Profile:
    """Instructions by (object, function), and calls by function, of a callgrind file."""

    def __init__(self, path):
        self.costs = collections.Counter()
        self.calls = collections.Counter()
        names = {}  # of each kind, by number

        def name(kind, text):
            number, _, rest = text.partition(" ")
            if rest:
                names[kind, number] = rest
            return names[kind, number]

        where, called = ["", ""], ""
        skip = False
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                key, equals, value = line.rstrip("\n").partition("=")
                if equals and key in ("ob", "cob"):
                    found = name("ob", value)
                    if key == "ob":
                        where[0] = os.path.basename(found)
                elif equals and key in ("fn", "cfn"):
                    found = name("fn", value)
                    if key == "fn":
                        where[1] = found.partition("'")[0]
                    else:
                        called = found.partition("'")[0]
                elif equals and key == "calls":
                    self.calls[called] += int(value.split()[0])
                    skip = True
                elif line[:1] in "0123456789+-*":
                    if not skip:
                        self.costs[tuple(where)] += int(line.split()[1])
                    skip = False


def summary(costs, operations, program, boring):
    """Instructions of one operation: in all, in the cipher, besides it, by object, by function. `program` is our own object's name."""
    objects, functions, cipher = collections.Counter(), collections.Counter(), 0
    for (thing, function), cost in costs.items():
        is_cipher = thing.startswith(CIPHER_OBJECTS) or function in boring
        cipher += cost if is_cipher else 0
        objects["cipher" if is_cipher else "own code" if thing == program else thing] += cost
        functions["cipher" if is_cipher else function] += cost

    def each(costs):
        return {name: round(cost / operations, 1) for name, cost in costs.most_common() if abs(cost) >= operations / 2}

    total = sum(costs.values())
    return {"total": total / operations, "cipher": cipher / operations, "rest": (total - cipher) / operations,
            "by_object": each(objects), "by_function": each(functions)}


def demangle(names):
    """Swift names as people read them, where there is something to read them with."""
    if not names or not shutil.which("swift"):
        return {name: name for name in names}
    # A name that Swift does not know is C++'s or C's.
    text = subprocess.run(["swift", "demangle", "--compact", "--simplified"], input="\n".join(names), capture_output=True, text=True).stdout
    if shutil.which("c++filt"):
        text = subprocess.run(["c++filt"], input=text, capture_output=True, text=True).stdout
    lines = text.splitlines()
    return dict(zip(names, lines)) if len(lines) == len(names) else {name: name for name in names}
