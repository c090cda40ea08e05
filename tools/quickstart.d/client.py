"""A small HTTP client: whole answers, and event streams read as they arrive."""

import http.client
import json
import time

TIMEOUT_SECONDS = 15


class Answer:
    def __init__(self, response, body, seconds):
        self.status = response.status
        self.headers = response.headers  # looked up in any case of letters
        self.body = body
        self.seconds = seconds

    def header(self, name):
        return self.headers.get(name, "")

    def json(self):
        return json.loads(self.body)

    def text(self):
        """The words of a chat answer."""
        return self.json()["choices"][0]["message"]["content"]


def connect(address):
    host, port = address.rsplit(":", 1)
    return http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_SECONDS)


def call(address, method, path, body=None, headers=None):
    began = time.monotonic()
    connection = connect(address)
    try:
        connection.request(method, path, *_encoded(body, headers))
        response = connection.getresponse()
        data = response.read()
        return Answer(response, data, time.monotonic() - began)
    finally:
        connection.close()


def get(address, path):
    return call(address, "GET", path)


def post(address, path, body, headers=None):
    return call(address, "POST", path, body, headers)


def events(address, path, body, headers=None):
    """Yields (seconds since the request, data) of each event, as soon as it is here."""
    began = time.monotonic()
    connection = connect(address)
    try:
        connection.request("POST", path, *_encoded(body, headers))
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"status {response.status}: {response.read()[:200]!r}")
        while line := response.readline():
            if line.startswith(b"data:"):
                yield time.monotonic() - began, line[5:].strip().decode()
    finally:
        connection.close()


def _encoded(body, headers):
    fields = dict(headers or {})
    if body is None:
        return None, fields
    fields.setdefault("Content-Type", "application/json")
    return json.dumps(body).encode(), fields
