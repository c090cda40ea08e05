"""Certificates for the tests, made by OpenSSL when they run, and the ends of TLS connections.

    authority = Authority(folder)
    pair = authority.issue("server", "DNS:localhost,IP:127.0.0.1")     # pair.cert and pair.key are files
    client = TlsClient(proxy.address, authority.client_context())
    upstream = self.upstream(over_tls(authority.server_context(pair), answering(response(b"hi"))))
"""

import os
import ssl
import subprocess
from typing import NamedTuple

import harness

SERVER_NAMES = "DNS:localhost,IP:127.0.0.1"


class Pair(NamedTuple):
    cert: str
    key: str


def _openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=harness.DEADLINE)


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Authority:
    """A CA of its own, with its files in `folder`."""

    def __init__(self, folder, name="ca"):
        self.folder = folder
        self.name = name
        self.cert = os.path.join(folder, f"{name}.crt")
        self._key = os.path.join(folder, f"{name}.key")
        _openssl("req", "-x509", *_NEW_KEY, "-keyout", self._key, "-out", self.cert, "-subj", f"/CN={name}",
                 "-days", "1")

    def issue(self, name, san=SERVER_NAMES, days=1):
        """A certificate and its key; negative days: already expired."""
        base = os.path.join(self.folder, f"{self.name}-{name}")
        _openssl("req", "-new", *_NEW_KEY, "-keyout", base + ".key", "-out", base + ".csr", "-subj",
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

    def server_context(self, pair, clients=None, version=None):
        """For servers that show `pair`. `clients`: the CA whose certificates clients must show."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients.cert)
        if version:
            context.minimum_version = context.maximum_version = version
        return context


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
