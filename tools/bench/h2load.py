"""One measured run of h2load, the load generator of nghttp2, against a proxy that speaks HTTP/2."""

import re
import subprocess

import machine
from processes import ProcessFailed, pinned

# Goes with each request, so that heads are about as long as those of the HTTP/1.1 workloads.
FIELDS = (
    "user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0",
    "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "accept-encoding: gzip, deflate, br",
    "accept-language: en-US,en;q=0.5",
)


def run(program, cpu, peer, count, connections, streams):
    """`count` requests in a closed loop, after a tenth of that for warming up."""
    _load(program, cpu, peer.http2_port, max(count // 10, connections), connections, streams)
    pids = peer.pids()
    before = sum(machine.cpu_nanos(pid) for pid in pids)
    result = _load(program, cpu, peer.http2_port, count, connections, streams)
    result["cpu_ns"] = sum(machine.cpu_nanos(pid) for pid in pids) - before
    if result["completed"]:
        result["cpu_us"] = result["cpu_ns"] / 1000 / result["completed"]
    return result


def _load(program, cpu, port, count, connections, streams):
    command = [program, "-n", str(count), "-c", str(connections), "-m", str(streams)]
    for line in FIELDS:
        command += ["-H", line]
    with pinned(cpu):
        done = subprocess.run([*command, f"http://127.0.0.1:{port}/"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120)
    result = parse(done.stdout, count)
    if done.returncode != 0 or result is None:
        raise ProcessFailed(f"h2load ended with status {done.returncode}: {done.stderr.strip()}")
    return result


def parse(text, count):
    """What h2load says of `count` requests, or None when it says nothing."""
    counts = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", text)
    if counts is None:
        return None
    finished, succeeded, failed, errored = map(int, counts.groups())
    return {"completed": finished, "non_2xx": max(0, finished - succeeded),
            "errors": max(failed, errored, count - finished)}
