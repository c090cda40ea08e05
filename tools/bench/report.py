"""The measurement as Markdown."""

import figures
from peers import TITLES
from workloads import WORKLOADS, CONNECTIONS


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |",
             "|" + "|".join(["---"] + ["---:"] * (len(header) - 1)) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def with_figures(rows):
    """The rows that have a figure."""
    return [row for row in rows if any(cell != "–" for cell in row[1:])]


def number(value, digits=2):
    return "–" if value is None else f"{value:,.{digits}f}"


def micros(nanos):
    return number(None if nanos is None else nanos / 1000, 0)


def render(run):
    """`run` is the dictionary that `--json` writes."""
    parts = [_head(run)]
    if run["samples"]:
        parts += [_cpu(run), _ratios(run), _latency(run)]
    if run["memory"] or run["start"]:
        parts.append(_footprint(run))
    if run["checks"]:
        parts.append(render_checks(run["checks"]))
    if run["targets"]:
        parts.append(_targets(run["targets"]))
    if run["problems"]:
        parts.append("### Problems: these runs do not count\n\n" +
                     "\n".join(f"- {problem}" for problem in run["problems"]))
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(run):
    machine = run["machine"]
    versions = "; ".join(f"{name}: {text}" for name, text in run["versions"].items())
    load = run["other_load"]
    busiest = max(load) if load else 0
    quiet = "no other load" if busiest < 0.1 else \
        "OTHER WORK WAS RUNNING: compare only inside this run"
    return "\n".join([
        "### Bench",
        "",
        f"Command: `{run['command']}` ({run['date']}, took {run['seconds']:.0f} s)",
        "",
        f"- {machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_gib']} GiB, Linux "
        f"{machine['kernel']}, {machine['distribution']}",
        f"- {versions}",
        f"- One worker each. Proxy on CPU {run['cpus']['proxy']}, load on CPU "
        f"{run['cpus']['load']}, upstream on CPU {run['cpus']['upstream']}; {run['priority']}",
        f"- {run['rounds']} interleaved rounds of {run['round_seconds']:g} s a run after a dropped "
        f"warm-up round; medians",
        f"- Load average {run['loadavg'][0]:.2f} at start; other work kept "
        f"{number(figures.median(load))} (at most {number(busiest)}) CPUs busy between rounds: {quiet}",
    ])


def _measured(samples):
    return [workload for workload in WORKLOADS if workload.name in samples]


def _cpu(run):
    samples, names = run["samples"], run["peers"]
    rows, widest = [], 0
    for workload in _measured(samples):
        rows.append([f"{workload.title}, per {workload.unit}"] + [
            number(figures.typical(samples, workload.name, name, "cpu_us")) for name in names])
        widest = max([widest] + [figures.spread(samples, workload.name, name) or 0
                                 for name in names])
    return (f"### CPU µs of the proxy (requests: {CONNECTIONS} keep-alive connections in a closed loop, "
            f"where no rate is said)\n\n" +
            table(["", *(TITLES[name] for name in names)], rows) +
            f"\n\nThe rounds of one cell lie at most {widest:.0%} of their median apart.")


def _ratios(run):
    samples, names, workloads = run["samples"], run["peers"], _measured(run["samples"])
    bases = [base for base in ("relay", "haproxy", "haproxy-guarded") if base in names]
    rows = []
    for name in names:
        for base in bases:
            # Of the others only the distance to the floor is of interest.
            if name == base or (base != "relay" and not name.startswith("outrigger")):
                continue
            cells = [number(figures.ratio(samples, w.name, name, base)) for w in workloads]
            rows.append([f"{TITLES[name]} ÷ {TITLES[base]}", *cells])
    rows = with_figures(rows)
    if not rows:
        return ""
    return ("### Ratios of CPU (each formed inside its round)\n\n" +
            table(["", *(w.title for w in workloads)], rows))


def _latency(run):
    samples, rows = run["samples"], []
    if not any(workload in samples for workload in ("latency", "sse")):
        return ""
    for name in ["direct", *run["peers"]]:
        cells = []
        for workload in ("latency", "sse"):
            cells += [micros(figures.typical(samples, workload, name, field))
                      for field in ("p50_ns", "p99_ns")]
            cells.append("–" if name == "direct" else
                         micros(figures.added(samples, workload, name, "direct", "p99_ns")))
        rows.append([TITLES[name], *cells])
    header = ["µs", "GET p50", "GET p99", "added at p99", "event p50", "event p99", "added at p99"]
    return (f"### Delay: GET in an open loop of {run['rate']:,}/s, counted from when it was due, and "
            f"SSE events from send to receipt\n\n" + table(header, with_figures(rows)))


def _footprint(run):
    rows = []
    for name in run["peers"]:
        memory, start = run["memory"].get(name, {}), run["start"].get(name, {})
        per_connection = memory.get("connection_kib")
        rows.append([
            TITLES[name], number(memory.get("idle_mib"), 1), number(per_connection),
            number(per_connection and per_connection * 1000 / 1024),
            number(memory.get("http2_kib"), 1),
            number(figures.median(start.get("accept_ms", [])), 1),
            number(figures.median(start.get("ready_ms", [])), 1),
        ])
    header = ["", "RSS idle, MiB", "per idle connection, KiB", "per 1,000, MiB",
              "per idle HTTP/2 connection, KiB",
              "exec to first accept, ms", "exec to /readyz, ms"]
    return "### Memory and start\n\n" + table(header, with_figures(rows))


def render_checks(checks):
    verdicts = {True: "met", False: "MISSED", None: "–"}
    rows = [[check.name, check.limit, check.measured, verdicts[check.is_met]] for check in checks]
    return ("### Counts (difference of two runs, so of the steady state)\n\n" +
            table(["", "limit", "measured", ""], rows))


def _targets(targets):
    rows = [[t.what, f"≤ {number(t.limit)} {t.unit}", number(t.value), t.verdict, number(t.floor)]
            for t in targets]
    return ("### Targets (outrigger with all five filters and a matching limit rule)\n\n" +
            table(["", "limit", "measured", "", "the relay's"], rows))
