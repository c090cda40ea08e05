"""Memory and start-up of each proxy, on fresh instances."""

import json
import os
import sys
import time

import http_probe
from peers import make
from processes import ProcessFailed, wait_for

FEW, MANY = 1000, 5000


def measure_memory(processes, loader, settings, name, cpu):
    """RSS after start, and per idle keep-alive connection.

    The slope between 1,000 and 5,000 connections leaves out what the first requests allocate once.
    Each connection has sent one request, 32 at a time.
    """
    peer = make(name, settings).start(processes, cpu)
    time.sleep(0.3)
    idle_kib = peer.process.rss_kib()
    few, few_kib = _hold(processes, loader, peer, FEW)
    many, many_kib = _hold(processes, loader, peer, MANY - FEW)
    for process in (many, few, peer.process):
        processes.stop(process)
    return {"idle_mib": idle_kib / 1024, "connection_kib": (many_kib - few_kib) / (MANY - FEW),
            "http2_kib": _measure_http2(processes, loader, settings, name, cpu)}


def _measure_http2(processes, loader, settings, name, cpu):
    """The same for HTTP/2: between 100 and 1,100 connections."""
    peer = make(name, settings)
    if not peer.http2_port:
        return None
    peer.start(processes, cpu)
    few, few_kib = _hold_http2(processes, loader, peer, 100)
    many, many_kib = _hold_http2(processes, loader, peer, FEW)
    for process in (many, few, peer.process):
        processes.stop(process)
    return (many_kib - few_kib) / FEW


def _hold_http2(processes, loader, peer, count):
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "http2_hold.py")
    process = processes.start(f"http2-idle-{count}", [sys.executable, "-B", program, peer.http2_port, count],
                              loader.cpu)

    def is_holding():
        with open(process.log_path) as file:
            return file.readline() == f"held {count}\n"

    wait_for(process, "holding its connections", is_holding, seconds=30)
    time.sleep(0.2)
    return process, peer.process.rss_kib()


def _hold(processes, loader, peer, count):
    argv = loader.command(peer.port, "--mode", "idle", "--connections", count)
    process = processes.start(f"idle-{count}", argv, loader.cpu)

    def first_line():
        with open(process.log_path) as file:
            line = file.readline()
        return line if line.endswith("\n") else ""

    result = json.loads(wait_for(process, "holding its connections", first_line, seconds=30))
    if result["completed"] != count:
        raise ProcessFailed(f"{peer.title}: only {result['completed']} of {count} connections")
    time.sleep(0.2)
    return process, peer.process.rss_kib()


def measure_start(processes, settings, name, cpu, times):
    """Milliseconds from just before exec to the first accepted connection, and to /readyz."""
    accept_ms, ready_ms = [], []
    for _ in range(times):
        peer = make(name, settings)
        start = time.monotonic()
        process = processes.start(name, peer.argv, cpu)
        _spin(process, lambda: http_probe.accepts(peer.port))
        accept_ms.append((time.monotonic() - start) * 1000)
        if peer.ready_port:
            _spin(process, lambda: http_probe.answers_ok(peer.ready_port, "/readyz"))
            ready_ms.append((time.monotonic() - start) * 1000)
        processes.stop(process)
    return {"accept_ms": accept_ms, "ready_ms": ready_ms}


def _spin(process, condition):
    wait_for(process, "started", condition, pause=0)
