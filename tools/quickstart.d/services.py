"""Starts mock-ai and, in front of it, outrigger, each on ports that the system chooses."""

import json
import os
import signal
import subprocess
import time

ADDRESSES = """\
# What quickstart runs outrigger with. Every key is optional; the limits and times here are small so
# that everything can be seen within seconds.

admin:
  address: 127.0.0.1:0          # probes and metrics; port 0: any that is free
  drain: {lame_duck: 0s, timeout: 2s}

listeners:
  - address: 127.0.0.1:0

"""
# The steps need this wherever outrigger runs.
BEHAVIOUR = """\
upstreams:
  - name: app
    endpoints: ["{upstream}"]   # the AI service
    health: {{path: /health, interval: 200ms, timeout: 200ms, unhealthy_after: 2, healthy_after: 1}}

routes:                         # /v1/chat/completions is not here: a built-in preset serves it
  - name: embeddings            # at most 3 at once, then 1 every 2 seconds
    match: {{path: /v1/embeddings}}
    preset: embeddings
    filters:
      rate_limit: {{rules: [{{name: embeddings, rate: 1/2s, burst: 3}}]}}

  - name: fragile               # 3 failures in a row open the breaker for a second
    match: {{path: /v1/completions}}
    preset: openai
    filters:
      retry: {{attempts: 1}}
      breaker: {{consecutive: 3, open_for: 1s, successes_to_close: 2}}

  - name: reports               # a report takes 700 ms at most
    match: {{path: /effect/report}}
    filters:
      timeout: {{overall: 700ms}}

filters:                        # the chain, outermost first
  - idempotency: {{}}
  - rate_limit: {{}}
  - retry: {{}}
  - breaker: {{}}
  - timeout: {{}}
"""

APP_TIMES = ["--ttft", "250ms", "--itl", "70ms", "--jitter", "0", "--tokens", "10"]

START_SECONDS = 10
STOP_SECONDS = 5


def behaviour(upstream):
    return BEHAVIOUR.format(upstream=upstream)


class StartError(Exception):
    pass


class Service:
    """A child process whose output goes to a file. It ends when asked to, at the latest by force."""

    def __init__(self, name, command, directory):
        self.name = name
        self.log = os.path.join(directory, f"{name}.log")
        with open(self.log, "wb") as output:
            # In a session of its own: Ctrl-C is ours to handle, and with --keep it stays.
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=subprocess.STDOUT, start_new_session=True)

    @property
    def pid(self):
        return self.process.pid

    def wait_for(self, find):
        """What `find` returns for the output, as soon as that is not None."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            status = self.process.poll()
            found = find(self.output())
            if found is not None:
                return found
            if status is not None:
                raise StartError(f"{self.name} ended with status {status}:\n{self.output()}")
            time.sleep(0.005)
        raise StartError(f"{self.name} did not start in {START_SECONDS} s:\n{self.output()}")

    def output(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def stop(self):
        """The exit status; negative: killed by that signal."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


class Services:
    """Both processes and their addresses: `app`, `app_admin`, `proxy`, `proxy_admin`."""

    def __init__(self, outrigger, mock_ai, directory):
        self._outrigger = outrigger
        self._mock_ai = mock_ai
        self._directory = directory
        self.config_file = os.path.join(directory, "outrigger.yaml")
        self.running = []

    def start_app(self):
        command = [self._mock_ai, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *APP_TIMES]
        service = self._start("mock-ai", command)

        def addresses(output):
            words = dict(line.rsplit(" ", 1) for line in output.splitlines() if " on " in line)
            both = words.get("listening on"), words.get("admin on")
            return both if all(both) else None

        self.app, self.app_admin = service.wait_for(addresses)
        return service

    def start_proxy(self):
        with open(self.config_file, "w", encoding="utf-8") as file:
            file.write(ADDRESSES + behaviour(self.app))
        command = [self._outrigger, "serve", "--config", self.config_file]
        service = self._start("outrigger", command)

        def addresses(output):
            lines = [_parsed(line) for line in output.splitlines()]
            listening = [line["address"] for line in lines if line.get("event") == "listening"]
            started = [line["admin_port"] for line in lines if line.get("event") == "started"]
            return (listening[0], f"127.0.0.1:{started[0]}") if listening and started else None

        self.proxy, self.proxy_admin = service.wait_for(addresses)
        return service

    def stop(self):
        """Exit statuses by name, the proxy first so that it does not see its service go."""
        statuses = {}
        for service in reversed(self.running):
            statuses[service.name] = service.stop()
        self.running.clear()
        return statuses

    def _start(self, name, command):
        service = Service(name, command, self._directory)
        self.running.append(service)
        return service


class Running:
    """What somebody else has started, for instance in a cluster."""

    def __init__(self, proxy, proxy_admin, app_admin):
        self.proxy, self.proxy_admin, self.app_admin = proxy, proxy_admin, app_admin


def _parsed(line):
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
