"""What /proc tells about the processes of a proxy: CPU time and resident memory."""

import os

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid):
    """User plus system time of a process, with its ended threads; 0 when it is gone. Resolution: a tick, usually 10 ms."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def resident_bytes(pid):
    """Resident memory of a process; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


def is_running(pid):
    """Whether the process exists and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def cpu_by_role(roles):
    """CPU seconds so far, summed over the pids of each role. `roles`: {role: [pid, ...]}."""
    return {role: sum(map(cpu_seconds, pids)) for role, pids in roles.items()}


def largest_resident_by_role(roles):
    """Resident bytes of the largest process of each role."""
    return {role: max(map(resident_bytes, pids), default=0) for role, pids in roles.items()}
