"""Requests at a fixed rate and streams side by side, for as long as something else happens.

Open loop: a request is due at its time, whatever became of those before it. Every request gets a connection of its own
or one that was used before, in turns, since clients of both kinds have to live through a restart.
"""

import http.client
import json
import threading
import time


class Outcome:
    def __init__(self):
        self.lock = threading.Lock()
        self.requests = self.streams = 0
        self.failures = []
        self.slowest = 0.0

    def add(self, kind, seconds, failure):
        with self.lock:
            if kind == "stream":
                self.streams += 1
            else:
                self.requests += 1
                self.slowest = max(self.slowest, seconds)
            if failure:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {kind}: {failure}")


class Load:
    """`with Load(address, rate=100, streams=20, seconds=15) as load: ...`; then load.outcome says how it went."""

    def __init__(self, address, rate, streams, seconds):
        self.host, self.port, self.path = address
        self.rate, self.stream_count, self.stream_seconds = rate, streams, seconds
        self.outcome = Outcome()
        self.began = 0.0
        self.over = threading.Event()
        self.threads = []

    def __enter__(self):
        self.began = time.monotonic()
        # Enough that none has to wait for a slow one.
        workers = 20
        for i in range(workers):
            self.begin(self.ask, i * 1.0 / self.rate, workers / self.rate, i % 2 == 0)
        for i in range(self.stream_count):
            self.begin(self.listen, i * 0.1)
        return self

    def begin(self, target, *arguments):
        self.threads.append(threading.Thread(target=target, args=arguments, daemon=True))
        self.threads[-1].start()

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(60)

    def connect(self, timeout):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        connection.connect()
        return connection

    def say(self, error, step, began):
        return (f"{type(error).__name__} {error} after {time.monotonic() - began:.1f} s, {step}; "
                f"it began {began - self.began:.1f} s into the load")

    def ask(self, first, period, keeps_connection):
        connection, due = None, time.monotonic() + first
        while not self.over.wait(max(0, due - time.monotonic())):
            due += period
            began, failure, step = time.monotonic(), None, "connecting"
            try:
                connection = connection or self.connect(10)
                step = "waiting for the answer"
                body = json.dumps({"model": "mock-1", "input": "hello"})
                connection.request("POST", f"{self.path}/v1/embeddings", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    failure = f"{answer.status} {answer.getheader('x-outrigger-reason')}"
            except (OSError, http.client.HTTPException) as error:
                failure = self.say(error, step, began)
            if connection and (failure or not keeps_connection):
                connection.close()
                connection = None
            self.outcome.add("request", time.monotonic() - began, failure)

    def listen(self, first):
        """Streams one after the other. They are not broken off at the end but listened to until theirs."""
        time.sleep(first)
        tokens = int(self.stream_seconds * 10)
        while not self.over.is_set():
            began, failure, step, connection = time.monotonic(), None, "connecting", None
            try:
                connection = self.connect(20)
                step = "waiting for the answer"
                body = json.dumps({"model": "mock-1", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
                connection.request("POST", f"{self.path}/v1/chat/completions", body,
                                   {"Content-Type": "application/json", "x-mock-fault": f"tokens:{tokens};itl:100ms"})
                answer = connection.getresponse()
                step = "reading"
                text = answer.read()
                if answer.status != 200:
                    failure = f"{answer.status} {answer.getheader('x-outrigger-reason')}"
                elif not text.rstrip().endswith(b"data: [DONE]"):
                    failure = f"cut after {len(text)} bytes"
                elif text.count(b'"content"') < tokens:
                    failure = f"{text.count(b'content')} of {tokens} tokens"
            except (OSError, http.client.HTTPException) as error:
                failure = self.say(error, step, began)
            if connection:
                connection.close()
            self.outcome.add("stream", time.monotonic() - began, failure)
