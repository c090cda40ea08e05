"""Certificates for the tests, made by OpenSSL when they run, and the ends of TLS connections.

    authority = Authority(folder)
    pair = authority.issue("server", "DNS:localhost,IP:127.0.0.1")     # pair.cert and pair.key are files
    client = TlsClient(proxy.address, authority.client_context())
    upstream = self.upstream(over_tls(authority.server_context(pair), answering(response(b"hi"))))
"""

import atexit
import functools
import os
import select
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from typing import NamedTuple

import harness

SERVER_NAMES = "DNS:localhost,IP:127.0.0.1"


class Pair(NamedTuple):
    cert: str
    key: str


def _openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=harness.DEADLINE)


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
NEW_RSA_KEY = ("-newkey", "rsa:2048", "-nodes")


class Authority:
    """A CA of its own, with its files in `folder`."""

    def __init__(self, folder, name="ca"):
        self.folder = folder
        self.name = name
        self.cert = os.path.join(folder, f"{name}.crt")
        self._key = os.path.join(folder, f"{name}.key")
        _openssl("req", "-x509", *_NEW_KEY, "-keyout", self._key, "-out", self.cert, "-subj", f"/CN={name}",
                 "-days", "1")

    def issue(self, name, san=SERVER_NAMES, days=1, new_key=_NEW_KEY):
        """A certificate and its key; negative days: already expired."""
        base = os.path.join(self.folder, f"{self.name}-{name}")
        _openssl("req", "-new", *new_key, "-keyout", base + ".key", "-out", base + ".csr", "-subj",
                 f"/CN={name}")
        with open(base + ".ext", "w", encoding="ascii") as file:
            file.write(f"subjectAltName={san}\n" if san else "basicConstraints=CA:FALSE\n")
        _openssl("x509", "-req", "-in", base + ".csr", "-CA", self.cert, "-CAkey", self._key, "-days",
                 str(days), "-out", base + ".crt", "-extfile", base + ".ext")
        return Pair(base + ".crt", base + ".key")

    def client_context(self, pair=None, version=None, protocols=()):
        """For clients that trust this CA and show `pair`. `version`: exactly this."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.cert)
        if pair:
            context.load_cert_chain(*pair)
        if version:
            context.minimum_version = context.maximum_version = version
        if protocols:
            context.set_alpn_protocols(protocols)
        return context

    @functools.cached_property
    def pair(self):
        """One for everybody who needs nothing special."""
        return self.issue("shared")

    def server_context(self, pair=None, clients=None, version=None, protocols=()):
        """For servers that show `pair`. `clients`: the CA whose certificates clients must show."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*(pair or self.pair))
        if protocols:
            context.set_alpn_protocols(protocols)
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients.cert)
        if version:
            context.minimum_version = context.maximum_version = version
        return context


@functools.lru_cache
def shared_authority():
    """Of the whole run."""
    folder = tempfile.mkdtemp(prefix="outrigger-test-ca-")
    atexit.register(shutil.rmtree, folder)
    return Authority(folder)


class SharedTlsSocket:
    """TLS on a connected socket that one thread may read while another writes, and on which select() tells the truth:
    recv() takes all there is, which may be a record more than it is asked for.

    Not an SSLSocket: the unwrap() of that one reads when it has sent close_notify, and fails, and drops what it has read,
    when the other side still sends. With its bytes in memory, this side's end never reads."""

    def __init__(self, sock, context, waits=True, needs_close_notify=True, **options):
        """`options`: of SSLContext.wrap_bio(). Closes the socket when the handshake fails."""
        self._sock = sock
        self._waits = waits  # in recv(); else BlockingIOError when what has come belongs to TLS alone
        self._needs_close_notify = needs_close_notify
        self._timeout = sock.gettimeout()
        self._is_reset = False  # to be closed by a reset
        self._sock.settimeout(0)
        self._one = threading.Lock()  # one use of the TLS state at a time
        self._writers = threading.Lock()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._unsent = b""  # of the outgoing bytes, in order
        self._tls = context.wrap_bio(self._incoming, self._outgoing, **options)
        try:
            self._handshake()
        except OSError:
            self._sock.close()
            raise

    def _handshake(self):
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._wait(select.POLLIN)
                self._take()
            except ssl.SSLError:
                self._flush()  # the alert
                raise
        self._flush()

    def _wait(self, event):
        poll = select.poll()
        poll.register(self._sock, event)
        if not poll.poll(None if self._timeout is None else self._timeout * 1000):
            raise TimeoutError

    def _take(self):
        """From the kernel what there is, one buffer at most."""
        data = self._sock.recv(1 << 14)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self):
        """Gives the kernel what it takes; True: all."""
        self._unsent += self._outgoing.read()
        try:
            while self._unsent:
                self._unsent = self._unsent[self._sock.send(self._unsent):]
        except BlockingIOError:
            return False
        return True

    def fileno(self):
        return self._sock.fileno()

    def settimeout(self, seconds):
        self._timeout = seconds

    def gettimeout(self):
        return self._timeout

    def protocol(self):
        return self._tls.selected_alpn_protocol()

    def recv(self, size):
        data = b""
        while True:
            with self._one:
                try:
                    while piece := self._tls.read(1 << 16):
                        data += piece
                    return data
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLZeroReturnError:
                    return data
                except ssl.SSLError as error:
                    if data or (isinstance(error, ssl.SSLEOFError) and not self._needs_close_notify):
                        return data
                    raise ConnectionResetError(str(error)) from None
                try:
                    if len(data) < size:
                        self._take()
                        continue
                except BlockingIOError:
                    pass
                except ConnectionError:
                    if not data:
                        raise
                if data:
                    return data
            if not self._waits:
                raise BlockingIOError
            self._wait(select.POLLIN)

    def sendall(self, data):
        with self._writers:
            with self._one:
                try:
                    self._tls.write(bytes(data))
                except ssl.SSLError as error:
                    raise BrokenPipeError(str(error)) from None
            while True:
                with self._one:
                    if self._flush():
                        return
                self._wait(select.POLLOUT)

    def recv_ready(self):
        """What has come, without waiting for more; nothing: TLS needed all of it for itself."""
        waits, self._waits = self._waits, False
        try:
            return self.recv(1)
        except BlockingIOError:
            return None
        finally:
            self._waits = waits

    def shutdown(self, how):
        if how != socket.SHUT_WR:
            self._sock.shutdown(how)
            return
        # The end of this side is close_notify; the other side goes on.
        with self._writers, self._one:
            try:
                self._tls.unwrap()
            except (OSError, ValueError):
                pass  # SSLWantReadError: the other side has not ended yet; ValueError: both have
            try:
                self._flush()
            except OSError:
                pass  # the other side is gone

    def getpeername(self):
        return self._sock.getpeername()

    def setsockopt(self, *arguments):
        self._is_reset |= arguments[1] == socket.SO_LINGER
        self._sock.setsockopt(*arguments)

    def getsockname(self):
        return self._sock.getsockname()

    def close(self):
        if self._sock.fileno() >= 0 and not self._is_reset:
            self.shutdown(socket.SHUT_WR)
        self._sock.close()


class SharedTlsClient(harness.RawClient):
    """A RawClient over TLS whose threads may send and receive at a time. Its end counts only with close_notify."""

    def __init__(self, address, context, **options):
        super().__init__(address, **options)
        self.sock = SharedTlsSocket(self.sock, context, server_hostname="localhost")

    def has_data(self, timeout=0.0):
        """Tickets are no data."""
        deadline = time.monotonic() + timeout
        while not self.buffer:
            if not super().has_data(max(0.0, deadline - time.monotonic())):
                return False
            data = self.sock.recv_ready()
            if data == b"":
                return True  # the end
            self.buffer += data or b""
        return True


class TlsClient(harness.RawClient):
    """A RawClient whose bytes are encrypted. The end of the stream counts only with close_notify."""

    def __init__(self, address, context, name="localhost", session=None, **options):
        super().__init__(address, **options)
        try:
            self.sock = context.wrap_socket(self.sock, server_hostname=name, session=session,
                                            suppress_ragged_eofs=False)
        except OSError:
            self.sock.close()
            raise

    def has_data(self, timeout=0.0):
        return self.sock.pending() > 0 or super().has_data(timeout)


def over_tls(context, script, closes_orderly=True):
    """A script for ScriptedUpstream that speaks TLS. Otherwise its end is a FIN without close_notify."""

    def play(connection):
        connection.sock = context.wrap_socket(connection.sock, server_side=True, suppress_ragged_eofs=False)
        try:
            script(connection)
            if closes_orderly:
                connection.sock.unwrap()
        finally:
            connection.sock.close()

    return play
