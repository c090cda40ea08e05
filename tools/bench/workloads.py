"""What is sent through each proxy, and what one run of it yields."""

import json
import subprocess
from dataclasses import dataclass

import h2load
from processes import ProcessFailed, pinned

CONNECTIONS = 32
HTTP2_CONNECTIONS = 4
HTTP2_STREAMS = 32
# Enough of them for one second of the fastest.
HTTP2_REQUESTS_A_SECOND = 60_000
# A message of gRPC: five bytes of prefix, and its content.
GRPC_MESSAGE_BYTES = 123
GRPC_PREFIX_BYTES = 5
SSE_STREAMS = 200
SSE_INTERVAL_US = 20_000
POST = ("--method", "POST", "--body-bytes", "1024")


@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    kind: str  # closed | open | sse | h2load | grpc
    arguments: tuple = ()
    unit: str = "request"
    has_tls: bool = False


WORKLOADS = (
    Workload("get", "GET, 128 B answer", "closed"),
    Workload("post", "POST 1 KiB", "closed", POST),
    Workload("keyed", "POST 1 KiB, unique Idempotency-Key", "closed", (*POST, "--key-unique")),
    Workload("body64k", "GET, 64 KiB answer", "closed", ("--path", "/64k")),
    Workload("tls", "TLS 1.3 keep-alive GET", "closed", ("--tls", "1"), has_tls=True),
    Workload("http2", f"HTTP/2 GET, {HTTP2_CONNECTIONS} connections × {HTTP2_STREAMS} streams", "h2load"),
    Workload("grpc", f"gRPC unary, {HTTP2_CONNECTIONS} connections × {HTTP2_STREAMS} streams", "grpc", unit="call"),
    Workload("sse", f"SSE, {SSE_STREAMS} streams", "sse", unit="event"),
    Workload("latency", "GET at a fixed rate", "open"),
)
BY_NAME = {workload.name: workload for workload in WORKLOADS}


class Loader:
    """Runs bench-load and reads its line of JSON; for HTTP/2 it runs h2load."""

    def __init__(self, program, cpu, rate, authorization="", h2load_program=""):
        self.program = program
        self.h2load = h2load_program
        self.cpu = cpu
        self.rate = rate
        self.authorization = authorization

    def command(self, port, *arguments):
        argv = [self.program, "--target", f"127.0.0.1:{port}", *arguments]
        if self.authorization:
            argv += ["--authorization", self.authorization]
        return [str(word) for word in argv]

    def run(self, port, *arguments, timeout=120):
        argv = self.command(port, *arguments)
        with pinned(self.cpu):
            popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True)
        try:
            out, err = popen.communicate(timeout=timeout)
        except BaseException:
            popen.kill()
            popen.wait()
            raise
        if popen.returncode != 0:
            raise ProcessFailed(f"bench-load ended with status {popen.returncode}: {err.strip()}")
        return json.loads(out)

    def requests(self, port, count, *arguments):
        """A closed loop of exactly `count` requests, all of which must succeed."""
        result = self.run(port, "--mode", "closed", "--connections", CONNECTIONS,
                          "--requests", count, *arguments, timeout=600)
        if problem := problem_of(result):
            raise ProcessFailed(f"load of {count} requests: {problem}")
        return result

    def measure(self, workload, peer, seconds):
        """One timed run. Adds `cpu_us`, the CPU time of the proxy per request or event."""
        if workload.kind in ("h2load", "grpc"):
            count = int(seconds * HTTP2_REQUESTS_A_SECOND)
            call = h2load.Call(GRPC_MESSAGE_BYTES, GRPC_PREFIX_BYTES) if workload.kind == "grpc" else None
            return h2load.run(self.h2load, self.cpu, peer, count, HTTP2_CONNECTIONS, HTTP2_STREAMS, call)
        pids = ",".join(str(pid) for pid in peer.pids())
        arguments = ["--account-pids", pids] if pids else []
        if workload.kind == "sse":
            events = max(10, int(seconds * 1e6 / SSE_INTERVAL_US))
            arguments += ["--mode", "sse", "--streams", SSE_STREAMS, "--events", events,
                          "--interval-us", SSE_INTERVAL_US]
        elif workload.kind == "open":
            arguments += ["--mode", "open", "--rate", self.rate, "--connections", 64,
                          "--warm-requests", 200, "--seconds", seconds]
        else:
            arguments += ["--mode", "closed", "--connections", CONNECTIONS,
                          "--warm-requests", 1000, "--seconds", seconds]
        port = peer.tls_port if workload.has_tls else peer.port
        result = self.run(port, *arguments, *workload.arguments)
        if pids and result["completed"]:
            result["cpu_us"] = result["cpu_ns"] / 1000 / result["completed"]
        return result


def problem_of(result):
    """Why a run cannot count, or an empty text."""
    found = [f"{result[key]} {key}" for key in ("errors", "non_2xx", "lost", "reconnects", "short")
             if result.get(key)]
    if not result["completed"]:
        found.append("nothing completed")
    return ", ".join(found)
