"""One measured run of h2load, the load generator of nghttp2, against a proxy that speaks HTTP/2."""

import contextlib
import re
import subprocess
import tempfile
from dataclasses import dataclass

import machine
from processes import ProcessFailed, pinned

# Goes with each request, so that heads are about as long as those of the HTTP/1.1 workloads.
FIELDS = (
    "user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0",
    "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "accept-encoding: gzip, deflate, br",
    "accept-language: en-US,en;q=0.5",
)



@dataclass(frozen=True)
class Call:
    """A unary call of gRPC: its message, which is as long as the answer's."""
    message_bytes: int
    prefix_bytes: int

    FIELDS = ("user-agent: grpc-c++/1.51.1 grpc-c/29.0.0 (linux; chttp2)", "content-type: application/grpc",
              "te: trailers", "grpc-accept-encoding: identity, deflate, gzip")

    @property
    def bytes(self):
        return self.prefix_bytes + self.message_bytes

    def body(self):
        return b"\0" + self.message_bytes.to_bytes(self.prefix_bytes - 1) + b"a" * self.message_bytes


def run(program, cpu, peer, count, connections, streams, call=None):
    """`count` requests in a closed loop, after a tenth of that for warming up."""
    _load(program, cpu, peer.http2_port, max(count // 10, connections), connections, streams, call)
    pids = peer.pids()
    before = sum(machine.cpu_nanos(pid) for pid in pids)
    result = _load(program, cpu, peer.http2_port, count, connections, streams, call)
    result["cpu_ns"] = sum(machine.cpu_nanos(pid) for pid in pids) - before
    if result["completed"]:
        result["cpu_us"] = result["cpu_ns"] / 1000 / result["completed"]
    return result


def _load(program, cpu, port, count, connections, streams, call):
    command = [program, "-n", str(count), "-c", str(connections), "-m", str(streams)]
    for line in call.FIELDS if call else FIELDS:
        command += ["-H", line]
    with contextlib.ExitStack() as stack:
        if call:
            body = stack.enter_context(tempfile.NamedTemporaryFile(prefix="outrigger-bench-call-"))
            body.write(call.body())
            body.flush()
            command += ["-d", body.name]
        stack.enter_context(pinned(cpu))
        done = subprocess.run([*command, f"http://127.0.0.1:{port}/{'bench.Bench/Unary' if call else ''}"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    result = parse(done.stdout, count, call.bytes if call else None)
    if done.returncode != 0 or result is None:
        raise ProcessFailed(f"h2load ended with status {done.returncode}: {done.stderr.strip()}")
    return result


def parse(text, count, answer_bytes=None):
    """What h2load says of `count` requests, or None when it says nothing.

    It does not look at the status of gRPC, which stands in trailers. Failed calls have no message, so the bytes of
    all answers together must be as many as messages of `answer_bytes` have.
    """
    counts = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", text)
    traffic = re.search(r"^traffic: .*\((\d+)\) data", text, re.MULTILINE)
    if counts is None or (answer_bytes is not None and traffic is None):
        return None
    finished, succeeded, failed, errored = map(int, counts.groups())
    result = {"completed": finished, "non_2xx": max(0, finished - succeeded),
              "errors": max(failed, errored, count - finished)}
    if answer_bytes is not None:
        result["short"] = abs(count * answer_bytes - int(traffic.group(1)))
    return result
