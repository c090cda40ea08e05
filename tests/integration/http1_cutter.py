"""What cuts a stream of HTTP/1.1 into heads, data and ends, for the peers that speak HTTP/2 on the wire."""

import harness

# RFC 9113, 8.2.2.
HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}


class Cutter:
    """One method for each state; () goes on, None waits for more. Heads and bodies of a length are the subclass's."""

    AFTER = "head"  # the state behind a chunked body

    def __init__(self):
        self.buffer = b""
        self.state = "head"
        self.left = 0

    def feed(self, data):
        """Yields ("head", ...), ("data", bytes, is_last), ("end", trailers)."""
        self.buffer += data
        while (event := getattr(self, "_" + self.state)()) is not None:
            if event:
                yield event

    def _tunnel(self):
        data, self.buffer = self.buffer, b""
        return ("data", data, False) if data else None

    def _take(self, mark):
        head, found, rest = self.buffer.partition(mark)
        if not found:
            return None
        self.buffer = rest
        return head

    def _take_left(self):
        data, self.buffer = self.buffer[:self.left], self.buffer[self.left:]
        self.left -= len(data)
        return data

    def _chunk_size(self):
        line = self._take(b"\r\n")
        if line is None:
            return None
        self.left = int(line, 16)
        self.state = "chunk" if self.left else "trailers"
        return ()

    def _chunk(self):
        data = self._take_left()
        if self.left == 0:
            self.state = "chunk_end"
        return ("data", data, False) if data else None

    def _chunk_end(self):
        if len(self.buffer) < 2:
            return None
        self.buffer = self.buffer[2:]
        self.state = "chunk_size"
        return ()

    def _trailers(self):
        if self.buffer.startswith(b"\r\n"):
            self.buffer = self.buffer[2:]
            self.state = self.AFTER
            return "end", []
        text = self._take(b"\r\n\r\n")
        if text is None:
            return None
        self.state = self.AFTER
        return "end", [harness.parse_field(line) for line in text.split(b"\r\n")]
