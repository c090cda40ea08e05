"""What the measurement runs on, and what it asks of the machine."""

import contextlib
import os
import platform
import random
import resource
import socket
import subprocess
import time

_taken_ports = set()


def cpu_plan():
    """Which CPU the proxy, the load generator and the upstream are pinned to."""
    cpus = sorted(os.sched_getaffinity(0))
    load = cpus[1 % len(cpus)]
    return {"proxy": cpus[0], "load": load, "upstream": cpus[2] if len(cpus) > 2 else load}


def free_port():
    """A port nobody listens on, never the same twice.

    Taken from below the range of outgoing connections where there is room: one of the thousands that
    the load opens could otherwise hold the port by the time the proxy wants it.
    """
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        first_outgoing = int(file.read().split()[0])
    candidates = [random.randrange(10_000, first_outgoing) for _ in range(100)] \
        if first_outgoing > 12_000 else []
    for port in [port for port in candidates if port not in _taken_ports] + [0] * 10:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            port = probe.getsockname()[1]
            if port not in _taken_ports:
                _taken_ports.add(port)
                return port
    raise OSError("no free port on loopback")


def raise_file_limit():
    """Returns how many files a process may open from now on."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@contextlib.contextmanager
def raised_priority(nice=-12):
    """Puts this session's autogroup before others where the kernel groups by session.

    With sched_autogroup on, plain nice does nothing between sessions. Yields a sentence that says
    what was done; the old value comes back at the end.
    """
    path = "/proc/self/autogroup"
    try:
        with open(path) as file:
            old = file.read().split("nice")[1].strip()
        with open(path, "w") as file:
            file.write(str(nice))
    except (OSError, IndexError):
        yield "priority not raised (no autogroup here, or not permitted)"
        return
    try:
        yield f"autogroup nice {nice}"
    finally:
        with contextlib.suppress(OSError), open(path, "w") as file:
            file.write(old)


def first_line_of(argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "not found"
    text = (done.stdout or done.stderr).strip()
    return text.splitlines()[0] if text else "unknown"


def cpu_model():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def distribution():
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return "unknown distribution"


def describe():
    with open("/proc/meminfo") as file:
        memory_kib = int(file.readline().split()[1])
    return {
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "memory_gib": round(memory_kib / 1024 / 1024, 1),
        "kernel": platform.release(),
        "distribution": distribution(),
    }


def busy_ticks(stat_text):
    """Ticks that all CPUs together were not idle, from the text of /proc/stat."""
    fields = [int(field) for field in stat_text.splitlines()[0].split()[1:]]
    idle = fields[3] + fields[4]
    # The last two (guest times) are already part of the first two.
    return sum(fields[:8]) - idle


def other_load(seconds=0.3):
    """How many CPUs are busy while the benchmark itself waits."""

    def read():
        with open("/proc/stat") as file:
            return busy_ticks(file.read())

    start, before = time.monotonic(), read()
    time.sleep(seconds)
    after, end = read(), time.monotonic()
    return (after - before) / os.sysconf("SC_CLK_TCK") / (end - start)


def cpu_nanos(pid):
    """CPU time of all threads of a process, by the scheduler's account."""
    total = 0
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                total += int(file.read().split()[0])
    return total
