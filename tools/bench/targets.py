"""What outrigger promises, compared with what this run measured."""

from dataclasses import dataclass

import figures

OURS = "outrigger"
# What does as little as can be done, where it is not the TCP relay.
FLOORS = {"http2": "http2-relay"}


@dataclass
class Target:
    what: str
    limit: float
    unit: str
    value: float | None
    floor: float | None = None  # what a relay, which looks at nothing, had in the same place

    @property
    def is_met(self):
        """None when this run did not measure it."""
        return None if self.value is None else self.value <= self.limit

    @property
    def verdict(self):
        return {True: "met", False: "MISSED", None: "not measured"}[self.is_met]


RATIOS = (
    # workload, name, base, limit
    ("get", "GET", "relay", 1.25),
    ("get", "GET", "haproxy", 0.75),
    ("get", "GET", "haproxy-guarded", 0.55),
    ("post", "POST 1 KiB", "relay", 1.25),
    ("post", "POST 1 KiB", "haproxy", 0.75),
    ("post", "POST 1 KiB", "haproxy-guarded", 0.55),
    ("keyed", "keyed POST, answer recorded", "relay", 1.6),
    ("keyed", "keyed POST, answer recorded", "haproxy-guarded", 0.75),
    ("body64k", "64 KiB answer", "haproxy", 1.0),
    ("tls", "TLS 1.3 keep-alive GET", "haproxy", 1.0),
    ("http2", "HTTP/2 GET", "nghttpx", 0.8),
    ("http2", "HTTP/2 GET", "haproxy", 0.6),
    ("grpc", "gRPC unary call", "nghttpx", 1.0),
    ("grpc", "gRPC unary call", "envoy", 1.0),
    ("sse", "SSE event", "haproxy", 1.0),
)


def evaluate(samples, memory, start):
    targets = [
        Target(f"CPU per {name} ÷ {base}", limit, "×", figures.ratio(samples, workload, OURS, base),
               None if base == "relay" else
               figures.ratio(samples, workload, FLOORS.get(workload, "relay"), base))
        for workload, name, base, limit in RATIOS
    ]
    ours, theirs = (figures.added(samples, "sse", peer, "direct", "p99_ns")
                    for peer in (OURS, "haproxy"))
    targets.append(Target(
        "SSE delay added at p99 (limit: haproxy's)", theirs / 1000 if theirs is not None else 0,
        "µs", ours / 1000 if ours is not None and theirs is not None else None))
    own_memory, own_start = memory.get(OURS, {}), start.get(OURS, {})
    targets += [
        Target("idle RSS", 8.0, "MiB", own_memory.get("idle_mib")),
        Target("RSS per idle connection", 1.5, "KiB", own_memory.get("connection_kib")),
        Target("RSS per idle HTTP/2 connection", 20.0, "KiB", own_memory.get("http2_kib")),
        Target("RSS per idle HTTP/2 connection (limit: nghttpx's)",
               memory.get("nghttpx", {}).get("http2_kib") or 0, "KiB",
               own_memory.get("http2_kib") if "nghttpx" in memory else None),
        Target("ready after exec", 30.0, "ms", figures.median(own_start.get("ready_ms", []))),
    ]
    return targets


def all_met(targets, checks):
    """True if nothing that was measured misses its limit."""
    return all(t.is_met is not False for t in targets) and all_checks_met(checks)


def all_checks_met(checks):
    return all(check.is_met is not False for check in checks)
