"""The interleaved rounds: every workload through every proxy, again and again."""

import json
import sys

import http_probe
import machine
from peers import PART
from processes import ProcessFailed
from workloads import BY_NAME, WORKLOADS, problem_of


def progress(text):
    print(text, file=sys.stderr, flush=True)


def run_rounds(loader, peers, direct, rounds, seconds, warm_seconds, workloads=WORKLOADS):
    """Returns (samples, other_load, problems).

    samples[workload][peer] is a list with one result for each counted round, or None where the run
    cannot count. The first round warms everything up and is dropped. The order of the proxies turns
    by one in each round, so that none always follows the same one. A proxy that dies is left out of
    the rest.
    """
    samples = {w.name: {p.name: [] for p in (*peers, direct)} for w in workloads}
    other_load, problems = [], []
    gone = set()
    for number in range(rounds + 1):
        other_load.append(machine.other_load())
        label = "warm-up round" if number == 0 else f"round {number} of {rounds}"
        progress(f"{label} (other load: {other_load[-1]:.2f} CPUs)")
        for workload in workloads:
            runs = [*peers, direct] if workload.kind in ("open", "sse") else list(peers)
            if workload.has_tls:
                runs = [peer for peer in runs if peer.tls_port]
            if workload.kind in ("h2load", "grpc"):
                runs = [peer for peer in runs if peer.http2_port and loader.h2load]
            runs = [peer for peer in runs if workload.name in PART.get(peer.name, BY_NAME)]
            if not runs:
                continue
            turn = number % len(runs)
            for peer in runs[turn:] + runs[:turn]:
                result, problem = None, "has ended before"
                if peer.name not in gone:
                    result, problem = _run(loader, workload, peer,
                                           seconds if number else warm_seconds)
                    if peer.process and not peer.process.is_running():
                        gone.add(peer.name)
                if problem:
                    problems.append(f"{workload.title} through {peer.title}, {label}: {problem}")
                if number:
                    samples[workload.name][peer.name].append(None if problem else result)
    return samples, other_load, problems


def _run(loader, workload, peer, seconds):
    try:
        result = loader.measure(workload, peer, seconds)
        if peer.process:
            peer.process.check()
        return result, problem_of(result)
    except ProcessFailed as failure:
        return None, str(failure)


def verify_recording(loader, peer, upstream_port, count=500):
    """Sends the same keys twice. A complaint if the second answers were not the recorded ones.

    Run on the proxy that has just been measured: without this, one that merely passes keys on, or
    whose store has filled up, would look good at recording.
    """

    def executions():
        return json.loads(http_probe.fetch(upstream_port, "GET", "/stats")[2])["posts"]

    before = executions()
    for _ in range(2):
        # Any seed that the rounds, which take theirs from the clock, do not use.
        loader.requests(peer.port, count, *BY_NAME["keyed"].arguments, "--key-seed", 1)
    executed = executions() - before
    if executed == count:
        return ""
    return (f"{peer.title}: {count} keys, each sent twice, were executed {executed} times; "
            f"so the keyed runs did not record and do not count")
