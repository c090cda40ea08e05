"""Counts that do not depend on how busy the machine is, so that they can gate a build.

Each is the difference of two runs, of FEW and of MANY requests: start-up, connection set-up and the
end cancel out, and what is left is the steady state of one request.
"""

import os
import re
import shutil
import signal
import struct
from dataclasses import dataclass

from peers import make
from processes import ProcessFailed, children_of
from workloads import POST

FEW, MANY = 2000, 12000
STEPS = MANY - FEW
RECEIVING = ("recvfrom", "recvmsg", "recvmmsg", "read", "readv")
SENDING = ("sendto", "sendmsg", "sendmmsg", "write", "writev")
MAX_RELAY_INSTRUCTIONS = 800
MAX_MALLOCS = 2
# Timers and the health check of a few seconds are in the difference too.
CALL_TOLERANCE = 0.05
REQUESTS = {"GET": (), "POST 1 KiB": POST}


@dataclass
class Check:
    name: str
    limit: str
    measured: str
    is_met: bool | None  # None: could not be run here
    key: str = ""
    value: float | None = None


def skipped(name, limit, why):
    return Check(name, limit, f"skipped: {why}", None)


def parse_strace(text):
    """Calls by name from the table of `strace -c`."""
    calls = {}
    for line in text.splitlines():
        fields = line.split()
        # % time, seconds, usecs/call, calls, [errors], name
        if len(fields) in (5, 6) and fields[3].isdigit() and fields[-1] != "total":
            calls[fields[-1]] = calls.get(fields[-1], 0) + int(fields[3])
    return calls


def parse_callgrind(text):
    """Instructions in total from a callgrind output file."""
    found = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
    if not found:
        raise ProcessFailed("callgrind wrote no total")
    return int(found.group(1))


class Counter:
    def __init__(self, processes, loader, settings, cpu):
        self.processes = processes
        self.loader = loader
        self.settings = settings
        self.cpu = cpu

    def _difference(self, name, wrapper, arguments, read):
        """Runs a fresh proxy under `wrapper` twice and subtracts what `read(text)` counts."""
        counted = []
        for requests in (FEW, MANY):
            path = os.path.join(self.settings.folder, f"count-{name}-{requests}.out")
            words = [word.format(path=path) for word in wrapper]
            peer = make(name, self.settings).start(self.processes, self.cpu, words)
            self.loader.requests(peer.port, requests, *arguments)
            stop_inner(peer.process)
            self.processes.stop(peer.process)
            with open(path) as file:
                counted.append(read(file.read()))
        return counted

    def instructions(self, name):
        """User instructions per GET."""
        few, many = self._difference(
            name, ["valgrind", "--tool=callgrind", "--callgrind-out-file={path}", "-q"], (),
            parse_callgrind)
        return (many - few) / STEPS

    def system_calls(self, name, arguments=()):
        """(receiving, sending, all) system calls per request."""
        few, many = self._difference(name, ["strace", "-c", "-f", "-o", "{path}"], arguments,
                                     parse_strace)

        def per_request(names):
            return sum(many.get(n, 0) - few.get(n, 0) for n in names) / STEPS

        return per_request(RECEIVING), per_request(SENDING), per_request(set(few) | set(many))

    def mallocs(self, name, arguments=()):
        """Allocations per request, from the same process after it has warmed up."""
        path = os.path.join(self.settings.folder, f"mallocs-{name}")
        if os.path.exists(path):
            os.remove(path)
        env = {"BENCH_MALLOC_FILE": path, "LD_PRELOAD": self.settings.programs.malloc_count}
        peer = make(name, self.settings).start(self.processes, self.cpu, env=env)

        def allocations_of(requests):
            before = read_mallocs(path)
            self.loader.requests(peer.port, requests, *arguments)
            return read_mallocs(path) - before

        allocations_of(FEW)
        few = allocations_of(FEW)
        many = allocations_of(MANY)
        self.processes.stop(peer.process)
        return (many - few) / STEPS


def read_mallocs(path):
    try:
        with open(path, "rb") as file:
            return struct.unpack("=QQ", file.read(16))[0]
    except (OSError, struct.error) as error:
        raise ProcessFailed(f"the malloc counter was not loaded: {error}") from error


def stop_inner(process):
    """Ends the program that strace started: strace then writes its table and ends too."""
    children = children_of(process.pid)
    for pid in children:
        os.kill(pid, signal.SIGTERM)
    if children:
        process.popen.wait(10)


def check_floor(counter):
    """The relay does as little as anything can that relays in user space."""
    name = "TCP relay: user instructions a request"
    limit = f"≤ {MAX_RELAY_INSTRUCTIONS}"
    checks = []
    if shutil.which("valgrind"):
        value = counter.instructions("relay")
        checks.append(Check(name, limit, f"{value:.0f}", value <= MAX_RELAY_INSTRUCTIONS,
                            "relay.instructions", value))
    else:
        checks.append(skipped(name, limit, "valgrind is not installed (apt install valgrind)"))
    checks.append(_check_calls(counter, "relay", "TCP relay", "GET", is_exact=True))
    return checks


def check_counts(counter, name, title):
    """The counts that a proxy of ours must keep on small requests without a key."""
    checks = [_check_calls(counter, name, title, request) for request in REQUESTS]
    for request, arguments in REQUESTS.items():
        what, limit = f"{title}: mallocs a {request}", f"≤ {MAX_MALLOCS}"
        if not counter.settings.programs.malloc_count:
            checks.append(skipped(what, limit, "no malloc counter in this build (sanitizer?)"))
            continue
        value = counter.mallocs(name, arguments)
        value = max(value, 0.0)  # a few of start-up can make it -0.00
        checks.append(Check(what, limit, f"{value:.2f}", value <= MAX_MALLOCS + CALL_TOLERANCE,
                            f"{name}.mallocs.{request}", value))
    return checks


def _check_calls(counter, name, title, request, is_exact=False):
    what, limit = f"{title}: system calls a {request}", "2 recv + 2 send"
    if not shutil.which("strace"):
        return skipped(what, limit, "strace is not installed (apt install strace)")
    receiving, sending, total = counter.system_calls(name, REQUESTS[request])
    is_met = all(value <= 2 + CALL_TOLERANCE and (not is_exact or value >= 2 - CALL_TOLERANCE)
                 for value in (receiving, sending))
    return Check(what, limit, f"{receiving:.2f} recv + {sending:.2f} send, {total:.2f} calls in all",
                 is_met, f"{name}.calls.{request}", total)
