"""Starting, watching and stopping the processes of a measurement.

Everything started through a `Processes` object is stopped, by its own process id, when the `with`
block ends, whatever ends it.
"""

import contextlib
import os
import signal
import subprocess
import time


class ProcessFailed(Exception):
    """A program of the measurement ended or never became ready; carries its last words."""


class Process:
    def __init__(self, name, popen, log_path):
        self.name = name
        self.popen = popen
        self.log_path = log_path

    @property
    def pid(self):
        return self.popen.pid

    def pids(self):
        """This process and everything below it."""
        found = [self.pid]
        for pid in found:
            found.extend(children_of(pid))
        return found

    def rss_kib(self):
        return sum(rss_kib(pid) for pid in self.pids())

    def is_running(self):
        return self.popen.poll() is None

    def last_words(self):
        with contextlib.suppress(OSError), open(self.log_path, errors="replace") as file:
            return "".join(file.readlines()[-8:]).strip()
        return ""

    def check(self):
        if not self.is_running():
            raise ProcessFailed(
                f"{self.name} ended with status {self.popen.returncode}: {self.last_words()}")

    def stop(self, patience=5.0):
        """Asks the process to end, and ends it if it does not."""
        if not self.is_running():
            return
        self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(patience)
        except subprocess.TimeoutExpired:
            # What it started would outlive it.
            for pid in reversed(self.pids()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.popen.wait()


class Processes:
    def __init__(self, log_folder):
        self.log_folder = log_folder
        self.started = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # A second Ctrl-C must not leave anything behind.
        old = signal.signal(signal.SIGINT, signal.SIG_IGN)
        for process in reversed(self.started):
            process.stop()
        signal.signal(signal.SIGINT, old)

    def start(self, name, argv, cpu=None, env=None):
        """Starts `argv` pinned to `cpu`; its output goes to a file in the log folder."""
        log_path = os.path.join(self.log_folder, f"{len(self.started):03}-{name}.log")
        with open(log_path, "wb") as log, pinned(cpu):
            popen = subprocess.Popen(
                [str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **(env or {})})
        process = Process(name, popen, log_path)
        self.started.append(process)
        return process

    def stop(self, process):
        process.stop()
        self.started.remove(process)


@contextlib.contextmanager
def pinned(cpu):
    """Children started inside inherit this CPU."""
    if cpu is None:
        yield
        return
    old = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, old)


def children_of(pid):
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found.extend(int(word) for word in file.read().split())
    return found


def rss_kib(pid):
    """smaps_rollup walks the page tables; VmRSS lags by up to 64 pages a thread."""
    for path, key in ((f"/proc/{pid}/smaps_rollup", "Rss:"), (f"/proc/{pid}/status", "VmRSS:")):
        with contextlib.suppress(OSError), open(path) as file:
            for line in file:
                if line.startswith(key):
                    return int(line.split()[1])
    raise ProcessFailed(f"cannot read the memory of process {pid}")


def wait_for(process, what, condition, seconds=10.0, pause=0.01):
    """Calls `condition` until it returns something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        process.check()
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise ProcessFailed(f"{process.name}: not {what} within {seconds:g} s: "
                                f"{process.last_words()}")
        time.sleep(pause)
