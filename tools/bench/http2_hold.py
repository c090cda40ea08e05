"""Holds idle HTTP/2 connections, each of which has had one request answered.

    python3 http2_hold.py PORT COUNT

Prints "held COUNT" once all of them are open, and keeps them until it is stopped.
"""

import socket
import sys
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, HEADERS, DATA = 4, 1, 0
ACK = END_STREAM = 1
END_HEADERS = 4


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def request(authority):
    # Indexed fields of RFC 7541, appendix A: GET, http, /; then :authority with a literal value.
    return b"\x82\x86\x84\x01" + bytes([len(authority)]) + authority


def read_exactly(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise SystemExit("the proxy closed a connection")
        data += piece
    return data


def open_one(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(PREFACE + frame(SETTINGS, 0, 0) +
                       frame(HEADERS, END_STREAM | END_HEADERS, 1, request(b"bench.local")))
    while True:
        head = read_exactly(connection, 9)
        read_exactly(connection, int.from_bytes(head[:3]))
        if head[3] == SETTINGS and not head[4] & ACK:
            connection.sendall(frame(SETTINGS, ACK, 0))
        if head[3] in (HEADERS, DATA) and head[4] & END_STREAM:
            return connection


def main():
    port, count = map(int, sys.argv[1:])
    held = [open_one(port) for _ in range(count)]
    print(f"held {len(held)}", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main()
