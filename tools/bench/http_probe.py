"""Single requests to a process on loopback, beside the measured load."""

import http.client
import socket


def get_status(port, path="/"):
    """The status of one GET, or None when nobody answers properly."""
    answer = fetch(port, "GET", path)
    return answer[0] if answer else None


def fetch(port, method, path, body=None, headers=None):
    """(status, headers, body) of one request, or None when nobody answers properly."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers_ok(port, path):
    """Like get_status() == 200, without the cost of a client library: for timing a start."""
    request = f"GET {path} HTTP/1.1\r\nHost: bench.local\r\nConnection: close\r\n\r\n"
    with socket.socket() as probe:
        probe.settimeout(5)
        try:
            probe.connect(("127.0.0.1", port))
            probe.sendall(request.encode())
            return probe.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False
