"""The interleaved rounds: every workload through every proxy, again and again."""

import json
import sys

import http_probe
import machine
from workloads import WORKLOADS, problem_of


def progress(text):
    print(text, file=sys.stderr, flush=True)


def run_rounds(loader, peers, direct, rounds, seconds, warm_seconds, workloads=WORKLOADS):
    """Returns (samples, other_load, problems).

    samples[workload][peer] is a list with one result for each counted round, or None where the run
    cannot count. The first round warms everything up and is dropped. The order of the proxies turns
    by one in each round, so that none always follows the same one.
    """
    samples = {w.name: {p.name: [] for p in (*peers, direct)} for w in workloads}
    other_load, problems = [], []
    for number in range(rounds + 1):
        other_load.append(machine.other_load())
        label = "warm-up round" if number == 0 else f"round {number} of {rounds}"
        progress(f"{label} (other load: {other_load[-1]:.2f} CPUs)")
        for workload in workloads:
            runs = [*peers, direct] if workload.kind != "closed" else list(peers)
            turn = number % len(runs)
            for peer in runs[turn:] + runs[:turn]:
                result = loader.measure(workload, peer, seconds if number else warm_seconds)
                if peer.process:
                    peer.process.check()
                problem = problem_of(result)
                if problem:
                    problems.append(f"{workload.title} through {peer.title}, {label}: {problem}")
                if number:
                    samples[workload.name][peer.name].append(None if problem else result)
    return samples, other_load, problems


def verify_recording(loader, peer, upstream_port):
    """Sends one key twice. A complaint if the second answer was not the recorded first one.

    Without this a proxy that merely passes the key on would look good at recording.
    """

    def executions():
        return json.loads(http_probe.fetch(upstream_port, "GET", "/stats")[2])["posts"]

    headers = {"Idempotency-Key": "bench-verify-recording", "Content-Type": "application/json"}
    if loader.authorization:
        headers["Authorization"] = loader.authorization
    before = executions()
    answers = [http_probe.fetch(peer.port, "POST", "/", b'{"a":1}', headers) for _ in range(2)]
    if None in answers or answers[0][2] != answers[1][2]:
        return f"{peer.title}: a repeated key got a different answer or none"
    if executions() - before != 1 or answers[1][1].get("Idempotent-Replayed") != "true":
        return f"{peer.title}: a repeated key was not answered from the recording"
    return ""
