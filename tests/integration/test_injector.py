"""`outrigger injector` over TLS, with an API server that this file plays (K8-1 c)."""

import base64
import copy
import http.server
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import unittest

import harness
from harness import eventually
from tls_support import Authority, TlsClient

CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/hook"
NAME = "injector.outrigger.svc"
JSON = [("Content-Type", "application/json")]


def review(pod=None, **request):
    pod = pod or {"metadata": {"generateName": "a-"},
                  "spec": {"containers": [{"name": "a", "ports": [{"name": "http", "containerPort": 8000}]}]}}
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
            "request": {"uid": "u-1", "operation": "CREATE", "namespace": "llm", "object": pod,
                        "resource": {"group": "", "version": "v1", "resource": "pods"}, **request}}


def patched(pod, answer):
    """The pod with the patch of the answer, which is of the operations that the injector uses."""
    pod = copy.deepcopy(pod)
    for step in json.loads(base64.b64decode(answer["response"].get("patch", "W10="))):
        *path, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]]
        place = pod
        for part in path:
            place = place[int(part)] if isinstance(place, list) else place[part]
        if step["op"] == "remove":
            del place[last]
        elif isinstance(place, list):
            place.insert(len(place) if last == "-" else int(last), step["value"])
        else:
            place[last] = step["value"]
    return pod


class ApiServer:
    """One MutatingWebhookConfiguration, with versions; knows the bearer of one token."""

    def __init__(self, folder):
        self.authority = Authority(folder, "api")
        self.folder = folder
        self.lock = threading.Lock()
        self.version = 1
        self.bundle = b""
        self.conflicts = 0
        self.status = None  # instead of an answer
        self.calls = []
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, status, body):
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self):
                with api.lock:
                    self.answer(*api.get(self))

            def do_PATCH(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with api.lock:
                    self.answer(*api.patch(self, body))

            def log_message(self, *arguments):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *arguments):  # a client that does not like the certificate
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        context = self.authority.server_context(self.authority.issue("server", "IP:127.0.0.1"))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.account("token-1")
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def account(self, token):
        """The pod's service account, as the kubelet mounts it."""
        self.token = token
        path = os.path.join(self.folder, "account")
        os.makedirs(path, exist_ok=True)
        with open(os.path.join(path, "token.new"), "w", encoding="ascii") as file:
            file.write(token + "\n")
        os.rename(os.path.join(path, "token.new"), os.path.join(path, "token"))
        shutil.copy(self.authority.cert, os.path.join(path, "ca.crt"))
        return path

    def refusal(self, request):
        self.calls.append((request.command, request.path))
        if request.headers["Authorization"] != f"Bearer {self.token}":
            return 401, {"kind": "Status", "message": "Unauthorized"}
        if self.status:
            return self.status, {"kind": "Status", "message": "as the test wants it"}
        if request.path.split("?")[0] != CONFIGURATION:
            return 404, {"kind": "Status", "message": "not found"}
        return None

    def configuration(self):
        return {"kind": "MutatingWebhookConfiguration",
                "metadata": {"name": "hook", "resourceVersion": str(self.version)},
                "webhooks": [{"name": "pods.injector.outrigger",
                              "clientConfig": {"service": {"name": "s"}, "caBundle": base64.b64encode(self.bundle).decode()}}]}

    def get(self, request):
        return self.refusal(request) or (200, self.configuration())

    def patch(self, request, body):
        refusal = self.refusal(request)
        if refusal:
            return refusal
        if self.conflicts:
            self.conflicts -= 1
            self.version += 1
        if request.headers["Content-Type"] != "application/strategic-merge-patch+json":
            return 415, {}
        if body["metadata"]["resourceVersion"] != str(self.version):
            return 409, {"kind": "Status", "message": "the object has been modified"}
        webhook, = body["webhooks"]
        self.bundle = base64.b64decode(webhook["clientConfig"]["caBundle"], validate=True)
        self.version += 1
        return 200, self.configuration()

    def certificates(self):
        return self.bundle.count(b"BEGIN CERTIFICATE")

    def client_context(self):
        """What the API server trusts now."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.bundle.decode())
        return context

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class InjectorTestCase(harness.TestCase):
    def start(self, *arguments, environment=()):
        program = harness.Program(["env", *environment, harness.OUTRIGGER, "injector", "--listen", "127.0.0.1:0", *arguments],
                                  "injector")
        self._programs.append(program)
        self.addCleanup(program.kill)
        return program

    @staticmethod
    def wait_address(program):
        host, port = program.wait_line(r'"injector_started".*"address":"([^"]*)"')[1].split(":")
        program.address = host, int(port)
        return program

    def with_files(self):
        """An injector with a certificate from files, and whom its clients trust."""
        self.authority = Authority(self.folder)
        self.pair = self.authority.issue("server", f"DNS:{NAME}")
        return self.wait_address(self.start("--cert", self.pair.cert, "--key", self.pair.key))

    def client(self, program, context=None, name=NAME):
        client = TlsClient(program.address, context or self.authority.client_context(), name=name)
        self.addCleanup(client.close)
        return client

    def mutate(self, client, body, headers=JSON):
        return client.ask("POST", "/mutate?timeout=5s", body if isinstance(body, bytes) else json.dumps(body).encode(), headers)

    def metric(self, program, name):
        text = self.client(program).get("/metrics").body.decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


class Reviews(InjectorTestCase):
    def test_pods_get_what_inject_gives_them(self):
        injector = self.with_files()
        client = self.client(injector)
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "annotations": {"a/~b": "é 中 \U0001f600"}},
               "spec": {"initContainers": [{"name": "first"}], "containers": [
                   {"name": "other"},
                   {"name": "a", "ports": [{"name": "http", "containerPort": 8000}], "livenessProbe": {"tcpSocket": {"port": "http"}}}]}}
        reply = self.mutate(client, review(pod))
        self.assertEqual((reply.status, reply.get("content-type")), (200, "application/json"))
        answer = reply.json()
        self.assertEqual((answer["response"]["uid"], answer["response"]["allowed"]), ("u-1", True))
        after = patched(pod, answer)
        by_hand, again = (
            subprocess.run([harness.OUTRIGGER, "inject"], input=json.dumps(each, ensure_ascii=False).encode(), capture_output=True,
                           check=True)
            for each in (pod, after))
        # The second leaves it as it is; both write the order of their members.
        self.assertEqual(sorted(by_hand.stdout.splitlines()), sorted(again.stdout.splitlines()))
        self.assertIn(b"it has the sidecar", again.stderr)
        # Asked again on the same connection: nothing to do.
        self.assertNotIn("patch", self.mutate(client, review(after)).json()["response"])
        self.assertEqual(self.metric(injector, 'outrigger_injector_reviews_total{verdict="injected"}'), 1)
        self.assertEqual(self.metric(injector, 'outrigger_injector_reviews_total{verdict="left_alone"}'), 1)
        self.assertTrue(injector.wait_line(r'"review".*"pod":"llm/a".*"verdict":"injected"'))

    def test_the_definition_of_a_release_is_taken(self):
        self.authority = Authority(self.folder)
        pair = self.authority.issue("server", f"DNS:{NAME}")
        with open(os.path.join(os.path.dirname(__file__), "../../proxy/inject/definition.json"), encoding="utf-8") as file:
            definition = json.load(file)
        definition["sidecars"]["native"]["image"] = "registry.example/o:9"
        path = os.path.join(self.folder, "definition.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(definition, file)
        injector = self.wait_address(self.start("--cert", pair.cert, "--key", pair.key, "--definition", path))
        answer = self.mutate(self.client(injector), review()).json()
        self.assertEqual(patched(review()["request"]["object"], answer)["spec"]["initContainers"][0]["image"], "registry.example/o:9")
        definition["kind"] = "container"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(definition, file)
        injector = self.wait_address(self.start("--cert", pair.cert, "--key", pair.key, "--definition", path))
        answer = self.mutate(self.client(injector), review()).json()
        spec = patched(review()["request"]["object"], answer)["spec"]
        self.assertNotIn("initContainers", spec)
        self.assertEqual(spec["containers"][0]["lifecycle"]["postStart"]["exec"]["command"][1], "wait")
        for text, problem in (("{", "not an object in JSON"), ('{"sidecar": {}}', "the definition's")):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            refused = self.start("--cert", pair.cert, "--key", pair.key, "--definition", path)
            self.assertEqual(refused.wait_exit(), 1)
            self.assertIn(problem, refused.error_lines[0])

    def test_what_is_no_review_is_refused_with_a_reason(self):
        client = self.client(self.with_files())
        for body, problem in ((b"", b"not JSON"), (b"\x00\xff", b"not JSON"), (b"[]", b"not an object"),
                              (json.dumps({**review(), "apiVersion": "admission.k8s.io/v1beta1"}).encode(), b"v1beta1"),
                              (b"[" * 1_000_000, b"too deeply"),
                              (b'{"a":' * 500_000, b"too deeply"),
                              (b"[" + b"0," * 1_500_000 + b"0]", b"too many")):
            reply = self.mutate(client, body)
            self.assertEqual(reply.status, 400, problem)
            self.assertIn(problem, reply.body)
        self.assertEqual(self.mutate(client, review(), [("Content-Type", "text/plain")]).status, 415)
        self.assertEqual(client.get("/mutate").status, 405)
        self.assertEqual(client.get("/else").status, 404)
        self.assertEqual(self.mutate(client, review()).status, 200)  # on the same connection


class Hostile(InjectorTestCase):
    def test_large_bodies_are_refused_before_they_are_sent(self):
        injector = self.with_files()
        client = self.client(injector)
        client.send(harness.request("POST", "/mutate", headers=[*JSON, ("Content-Length", str(4 << 20))]))
        self.assertEqual(client.read_response().status, 413)
        # Without a length it is known when it is too much.
        client = self.client(injector)
        client.send(harness.request("POST", "/mutate", headers=[*JSON, ("Transfer-Encoding", "chunked")]))
        piece = harness.chunks([b" " * 65536])[:-5]
        try:
            for _ in range(60):
                client.send(piece)
        except OSError:
            pass  # it need not be read to its end
        self.assertEqual(client.read_response().status, 413)
        self.assertEqual(self.mutate(self.client(injector), review()).status, 200)

    def test_slow_clients_are_given_up(self):
        injector = self.with_files()
        head = self.client(injector)
        head.send(b"POST /mutate HTTP/1.1\r\nHost: a\r\n")
        body = self.client(injector)
        body.send(harness.request("POST", "/mutate", headers=[*JSON, ("Content-Length", "100")]) + b"{")
        silent = harness.RawClient(injector.address)  # no handshake
        self.addCleanup(silent.close)
        # A byte now and then does not help: the whole review has its time.
        drip = self.client(injector)
        drip.send(harness.request("POST", "/mutate", headers=[*JSON, ("Content-Length", "100")]))

        def dripped():
            if not drip.has_data(0.2):
                drip.send(b" ")
                return False
            return True
        self.assertEqual(head.read_response().status, 408)
        self.assertEqual(body.read_response().status, 408)
        eventually(silent.has_ended, "the connection without a handshake ends")
        eventually(dripped, "the drip is given up")
        self.assertEqual(drip.read_response().status, 408)

    def test_garbage_is_answered_or_cut_and_others_are_served(self):
        injector = self.with_files()
        plain = harness.RawClient(injector.address)
        self.addCleanup(plain.close)
        plain.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertIn(b"400", plain.read_until(b"\r\n"))
        for data in (b"\x16\x03\x01" + os.urandom(500), os.urandom(2000), b"\x80" * 100):
            raw = harness.RawClient(injector.address)
            self.addCleanup(raw.close)
            raw.send(data)
            raw.half_close()
            eventually(raw.has_ended, "the connection ends")
        for data in (b"\r\n\r\n\x00", b"GET / HTTP/9\r\n\r\n", b"POST /mutate HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                     b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"):
            client = self.client(injector)
            client.send(data)
            self.assertGreaterEqual(client.read_response().status, 400)
        self.assertEqual(self.mutate(self.client(injector), review()).status, 200)
        self.assertTrue(injector.is_running())

    def test_idle_connections_give_way(self):
        injector = self.with_files()
        idle = [self.client(injector) for _ in range(256)]
        self.assertEqual(idle[0].get("/livez").status, 200)
        self.assertEqual(self.mutate(self.client(injector), review()).status, 200)

    def test_memory_stays_bounded(self):
        injector = self.with_files()
        # Bodies that are almost there, more of them than the budget of 32 MiB has room for.
        size = 3 << 20
        clients = []
        for _ in range(16):
            client = self.client(injector)
            clients.append(client)
            client.send(harness.request("POST", "/mutate", headers=[*JSON, ("Content-Length", str(size))]))
        refused = 0
        for client in clients:
            try:
                client.send(b" " * (size - 1))
            except OSError:
                pass
            refused += client.has_data(0.05)
        for client in clients:
            eventually(lambda c=client: c.has_data() or not injector.is_running(), "an answer")
        statuses = {client.read_response().status for client in clients}
        self.assertLessEqual(statuses, {503, 408})
        self.assertIn(503, statuses)
        self.assertEqual(self.mutate(self.client(injector), review()).status, 200)
        if not harness.IS_INSTRUMENTED:
            self.assertLess(injector.rss_kib(), 128 << 10)


class Files(InjectorTestCase):
    def test_a_new_certificate_is_taken_and_a_bad_one_is_not(self):
        injector = self.with_files()

        def serial(context):
            client = TlsClient(injector.address, context, name=NAME)
            try:
                return client.sock.getpeercert()["serialNumber"]
            finally:
                client.close()
        context = self.authority.client_context()
        first = serial(context)
        open_client = self.client(injector)
        other = self.authority.issue("next", f"DNS:{NAME}")
        for place, new in zip(self.pair, other):
            shutil.copy(new, place + ".new")
            os.rename(place + ".new", place)
        # Every handshake meanwhile is one of the two.
        eventually(lambda: serial(context) != first, "the new certificate is shown")
        self.assertEqual(open_client.get("/livez").status, 200)
        second = serial(context)
        with open(self.pair.cert, "w", encoding="ascii") as file:
            file.write("garbage")
        injector.wait_line(r'"certificate_failed"')
        self.assertEqual(serial(context), second)
        self.assertGreaterEqual(self.metric(injector, 'outrigger_tls_reloads_total{side="downstream",name="injector",result="loaded"}'), 1)

    def test_wrong_use_is_refused(self):
        for arguments, status, problem in (
                ((), 2, "give --cert"),
                (("--cert", "a"), 2, "give --cert"),
                (("--cert", "a", "--key", "b", "--configuration", "c", "--dns-name", "d"), 2, "give --cert"),
                (("--cert", "/nowhere", "--key", "b"), 1, "cannot read /nowhere"),
                (("--configuration", "c", "--dns-name", "d"), 1, "KUBERNETES_SERVICE_HOST"),
                (("--configuration", "c", "--dns-name", "d", "--lifetime", "1s"), 2, "--lifetime"),
                (("--configuration", "c", "--dns-name", "d", "--lifetime", "long"), 2, "--lifetime")):
            program = self.start(*arguments, environment=["-u", "KUBERNETES_SERVICE_HOST"])
            self.assertEqual(program.wait_exit(), status, arguments)
            self.assertIn(problem, "\n".join(program.error_lines))


class OwnCertificate(InjectorTestCase):
    def setUp(self):
        super().setUp()
        self.api = ApiServer(self.folder)
        self.addCleanup(self.api.stop)

    def replica(self, name="pod-1", lifetime="1h", **options):
        return self.start("--configuration", "hook", "--dns-name", NAME, "--replica", name, "--lifetime", lifetime,
                          "--service-account", os.path.join(self.folder, "account"),
                          environment=["KUBERNETES_SERVICE_HOST=127.0.0.1", f"KUBERNETES_SERVICE_PORT={self.api.port}"], **options)

    def anybody(self):
        """As the kubelet asks, which does not look at certificates."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def readiness(self, program):
        reply = self.client(program, self.anybody()).get("/readyz")
        return reply.status, reply.body.decode()

    def wait_ready(self, program):
        eventually(lambda: self.readiness(program)[0] == 200, "it is ready")

    def test_the_api_server_is_told_before_it_is_ready(self):
        injector = self.wait_address(self.replica())
        self.wait_ready(injector)
        self.assertEqual(self.api.certificates(), 1)
        client = self.client(injector, self.api.client_context())
        self.assertEqual(self.mutate(client, review()).status, 200)
        # It asks for its own configuration and changes nothing else.
        self.assertEqual({(method, path.split("?")[0]) for method, path in self.api.calls},
                         {("GET", CONFIGURATION), ("PATCH", CONFIGURATION)})
        with self.assertRaises(ssl.SSLCertVerificationError):
            self.client(injector, self.api.client_context(), name="other.outrigger.svc")

    def test_replicas_share_the_configuration(self):
        self.api.conflicts = 2
        replicas = [self.wait_address(self.replica(f"pod-{i}")) for i in range(3)]
        for replica in replicas:
            self.wait_ready(replica)
        self.assertEqual(self.api.certificates(), 3)
        for replica in replicas:
            self.assertEqual(self.mutate(self.client(replica, self.api.client_context()), review()).status, 200)

    def test_trouble_with_the_api_server_is_said_and_got_over(self):
        self.api.status = 403
        injector = self.wait_address(self.replica())
        injector.wait_line(r'"certificate_not_published".*403')
        self.assertIn("403", self.readiness(injector)[1])
        self.api.status = None
        token = self.api.token
        self.api.token = "another"  # the one that it has is not good any more
        injector.wait_line(r'"certificate_not_published".*401')
        self.api.account("token-2")
        self.wait_ready(injector)
        self.assertNotIn(token, "\n".join(injector.lines + injector.error_lines))

    def test_an_api_server_that_it_does_not_know_gets_no_token(self):
        shutil.copy(Authority(self.folder, "other").cert, os.path.join(self.folder, "account/ca.crt"))
        injector = self.wait_address(self.replica())
        injector.wait_line(r'"certificate_not_published".*certificate')
        self.assertEqual(self.api.calls, [])

    def test_rotation_drops_no_handshake(self):
        injector = self.wait_address(self.replica(lifetime="12s"))
        self.wait_ready(injector)
        seen, stop = set(), time.monotonic() + harness.DEADLINE
        handshakes = 0
        while len(seen) < 3 and time.monotonic() < stop:
            # With what the API server trusts at that time.
            client = TlsClient(injector.address, self.api.client_context(), name=NAME)
            seen.add(client.sock.getpeercert()["serialNumber"])
            self.assertEqual(self.mutate(client, review()).status, 200)
            client.close()
            handshakes += 1
        self.assertEqual(len(seen), 3, f"{handshakes} handshakes")
        self.assertLessEqual(self.api.certificates(), 2)
        injector.wait_line(r'"certificate_rotated"')

    def test_a_bundle_that_was_wiped_is_written_again(self):
        injector = self.wait_address(self.replica(lifetime="60s"))
        self.wait_ready(injector)
        with self.api.lock:
            bundle, self.api.bundle = self.api.bundle, b""
            self.api.version += 1
        eventually(lambda: self.api.bundle == bundle, "the certificate is back")
        self.assertEqual(self.readiness(injector)[0], 200)

    def test_it_serves_while_the_cluster_learns_that_it_goes(self):
        injector = self.wait_address(self.replica())
        self.wait_ready(injector)
        client = self.client(injector, self.api.client_context())
        injector.signal(signal.SIGTERM)
        injector.wait_line(r'"drain_begins"')
        self.assertEqual(self.readiness(injector), (503, "draining\n"))
        reply = self.mutate(client, review())
        self.assertEqual((reply.status, reply.get("connection")), (200, "close"))
        self.assertEqual(injector.wait_exit(), 0)
        with self.assertRaises(OSError):
            socket.create_connection(injector.address, timeout=harness.DEADLINE)

    def test_a_second_signal_ends_it_at_once(self):
        injector = self.wait_address(self.replica())
        self.wait_ready(injector)
        injector.signal(signal.SIGTERM)
        injector.wait_line(r'"drain_begins"')
        began = time.monotonic()
        injector.signal(signal.SIGTERM)
        self.assertEqual(injector.wait_exit(), 0)
        self.assertLess(time.monotonic() - began, 4)


if __name__ == "__main__":
    unittest.main()
