"""Figures from the samples of all rounds, and the table as text and as Markdown."""

import statistics

GIB = 2 ** 30
MB = 10 ** 6


def figures_of(measurement, report, cpu):
    """The figures of one measurement that went well: {figure: value}. `cpu`: seconds in the window by role."""
    total = sum(cpu.values())
    if measurement.mode in ("down", "up"):
        gib = report["bytes"] / GIB
        figures = {"MB/s": report["bytes"] / MB / report["seconds"]}
        if cpu:
            figures["CPU s/GiB"] = total / gib
            figures.update({f"CPU s/GiB, {role}": seconds / gib for role, seconds in cpu.items()})
        return figures
    figures = {"p50 us": report["p50_us"], "p99 us": report["p99_us"]}
    if measurement.mode == "ping":
        figures["p99.9 us"] = report["p999_us"]
    else:
        figures = {"per second": report["count"] / report["seconds"], **figures}
    if cpu and report["count"]:
        figures["CPU us each"] = total / report["count"] * 1e6
    return {name: value for name, value in figures.items() if value is not None}


def fault_of(report):
    """What went wrong in a report, in words; None when nothing did."""
    faults = [f"{count} {kind}" for kind, count in report["faults"].items()]
    if report["bad_requests"]:
        faults.append(f"{report['bad_requests']} requests arrived corrupt")
    if not faults:
        return None
    return ", ".join(faults) + (f" ({report['detail']})" if report["detail"] else "")


def summarise(samples):
    """{(measurement, figure): {peer: {"median", "least", "most", "rounds"}}}, in the order in which figures first appear."""
    values = {}
    for sample in samples:
        for figure, value in sample["figures"].items():
            values.setdefault((sample["measurement"], figure), {}).setdefault(sample["peer"], []).append(value)
    return {key: {peer: {"median": statistics.median(some), "least": min(some), "most": max(some), "rounds": len(some)}
                  for peer, some in by_peer.items()}
            for key, by_peer in sorted(values.items(), key=_order(samples))}


def _order(samples):
    """Measurements in the order of the run; in each, the figures that all peers have before those of single roles."""
    measurements = {}
    for sample in samples:
        measurements.setdefault(sample["measurement"], len(measurements))
    ranks = ["MB/s", "per second", "p50", "p99 us", "p99.9", "CPU s/GiB,", "CPU"]

    def rank(item):
        measurement, figure = item[0]
        kind = 4.5 if figure == "CPU s/GiB" else next((i for i, start in enumerate(ranks) if figure.startswith(start)), len(ranks))
        return measurements[measurement], kind, figure
    return rank


def _number(value):
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(entry):
    if entry is None:
        return "-"
    if entry["rounds"] == 1:
        return _number(entry["median"])
    return f"{_number(entry['median'])} ({_number(entry['least'])}-{_number(entry['most'])})"


def _rows(summary, peer_names):
    """The table's cells, with the head first; a row for each figure, a column for each peer."""
    yield ["measurement", "figure", *peer_names]
    last = None
    for (measurement, figure), by_peer in summary.items():
        yield ["" if measurement == last else measurement, figure, *(cell(by_peer.get(name)) for name in peer_names)]
        last = measurement


def _notes(run):
    """Lines for what is not in the table: peers left out, faults, failures."""
    for name, reason in run["left_out"].items():
        yield f"{name}: left out: {reason}"
    counted = {}
    for sample in run["samples"]:
        if sample["fault"]:
            counted.setdefault((sample["peer"], sample["measurement"]), []).append(sample)
    for (peer, measurement), bad in counted.items():
        latest = bad[-1]["fault"]
        yield f"{peer}, {measurement}: {len(bad)} of {run['rounds']} rounds not counted, the latest: {latest}"


def as_text(run):
    """The table for a terminal."""
    rows = list(_rows(run["summary"], run["peers"]))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join([*lines, "", *_notes(run), _conditions(run)])


def as_markdown(run):
    """The table as Markdown."""
    head, *rows = _rows(run["summary"], run["peers"])
    lines = [head, ["---"] * len(head), *rows]
    notes = [f"- {note}" for note in _notes(run)]
    return "\n".join(["| " + " | ".join(row) + " |" for row in lines] + ["", _conditions(run), "", *notes])


def _conditions(run):
    host = run["host"]
    versions = ", ".join(f"{program} {version}" for peer in run["versions"].values() for program, version in peer.items())
    return (f"Median (least-most) of {run['rounds']} rounds of {run['seconds']} s each, {run['date']}; {host['cpu']}, {host['cores']} cores, "
            f"Linux {host['kernel']}, TCP {host['congestion_control']}, loopback MTU {host['loopback_mtu']}; {versions or 'no proxies'}.")
