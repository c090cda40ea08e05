"""Peers that speak gRPC, by Debian's python3-grpcio: a service whose methods take and give plain bytes, and its callers.

    service = Service()
    channel = open_channel(proxy.address)
    reply, call = channel.unary_unary("/test.Service/Echo").with_call(b"x", metadata=[("a", "b")])

Methods: Echo (unary), Count (a stream of as many messages as asked), Join (a stream in, one message out), Chat (each
message back as it comes), Hasty (answers before it has read anything), Fail (by what the request says), Hang (until its
caller leaves). The service keeps what it was called with.
"""

import threading
from concurrent import futures

import grpc

import harness

PREFIX = "/test.Service/"
KSERVE = "/inference.GRPCInferenceService/"  # fails as Fail does
# Retries of the library's own would hide what the proxy does.
CHANNEL_OPTIONS = [("grpc.enable_retries", 0), ("grpc.max_receive_message_length", -1),
                   ("grpc.use_local_subchannel_pool", 1)]
SERVER_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]


class Call:
    """As the service has seen it."""

    def __init__(self, method, context):
        self.method = method
        self.metadata = dict(context.invocation_metadata())
        self.time_left = context.time_remaining()
        self.ended = threading.Event()  # finished, or left by its caller
        context.add_callback(self.ended.set)


class Service(grpc.GenericRpcHandler):
    def __init__(self):
        self.calls = []
        self.failures = []  # (code, details, trailing metadata) for the next calls of Fail and Join; then they answer
        self.may_go_on = threading.Event()  # for Count, behind its first message
        self._server = grpc.server(futures.ThreadPoolExecutor(8), handlers=[self], options=SERVER_OPTIONS)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self.address = f"127.0.0.1:{self.port}"
        self._server.start()

    def stop(self):
        self.may_go_on.set()
        self._server.stop(0).wait()

    def called(self, method):
        return [call for call in self.calls if call.method == method]

    def service(self, details):
        name = details.method.removeprefix(PREFIX)
        if details.method.startswith(KSERVE):
            return grpc.unary_unary_rpc_method_handler(lambda request, context: self._fail(request, context, None))
        kinds = {"Echo": grpc.unary_unary_rpc_method_handler, "Fail": grpc.unary_unary_rpc_method_handler,
                 "Hang": grpc.unary_unary_rpc_method_handler, "Count": grpc.unary_stream_rpc_method_handler,
                 "Join": grpc.stream_unary_rpc_method_handler, "Chat": grpc.stream_stream_rpc_method_handler,
                 "Hasty": grpc.stream_unary_rpc_method_handler}
        if details.method != PREFIX + name or name not in kinds:
            return None
        method = getattr(self, "_" + name.lower())

        def run(request, context):
            call = Call(name, context)
            self.calls.append(call)
            return method(request, context, call)

        return kinds[name](run)

    def _echo(self, request, context, _):
        received = [(key, value) for key, value in context.invocation_metadata() if key.startswith("x-echo-")]
        context.send_initial_metadata([("x-initial", "i"), *received])
        context.set_trailing_metadata([("x-trailing", "t"), ("x-trailing-bin", b"\0\1\xff")])
        return request

    def _count(self, request, context, _):
        for number in range(int(request)):
            yield str(number).encode()
            if number == 0 and not self.may_go_on.wait(harness.DEADLINE):
                context.abort(grpc.StatusCode.INTERNAL, "nobody let it go on")

    def _join(self, requests, context, _):
        self._fail(b"", context, None)
        return b"".join(requests)

    def _chat(self, requests, _context, _):
        yield from requests

    def _hasty(self, _requests, context, _):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now")

    def _fail(self, request, context, _):
        if self.failures:
            code, details, metadata = self.failures.pop(0)
            context.set_trailing_metadata(metadata)
            context.abort(code, details)
        return request

    def _hang(self, _request, _context, call):
        call.ended.wait(harness.DEADLINE)
        return b""


def open_channel(address, credentials=None):
    target = f"{address[0]}:{address[1]}"
    if credentials is None:
        return grpc.insecure_channel(target, CHANNEL_OPTIONS)
    return grpc.secure_channel(target, credentials, CHANNEL_OPTIONS)


class TestCase(harness.TestCase):
    """A proxy between a service and its callers."""

    def setUp(self):
        super().setUp()
        self.service_ = Service()
        self.addCleanup(self.service_.stop)

    def start(self, upstream=None, **options):
        options.setdefault("upstream_options", {"protocol": "http2"})
        return self.outrigger(upstream or self.service_.address, **options)

    def channel(self, proxy, credentials=None):
        channel = open_channel(proxy.address, credentials)
        self.addCleanup(channel.close)
        return channel

    def unary(self, channel, method, request=b"", **options):
        """Reply and call; fails as grpc.RpcError."""
        options.setdefault("timeout", harness.DEADLINE)
        return channel.unary_unary(PREFIX + method).with_call(request, **options)

    def failure(self, run):
        """The grpc.RpcError that `run` ends with."""
        with self.assertRaises(grpc.RpcError) as caught:
            run()
        return caught.exception

    def assert_refusal(self, error, code, reason):
        """B0.3 for gRPC: the code, the reason, and the same hint in both forms."""
        fields = fields_of(error)
        self.assertEqual((error.code(), fields.get("x-outrigger-reason")), (code, reason), error)
        self.assertTrue(error.details())
        pushback = fields.get("grpc-retry-pushback-ms")
        if fields.get("x-should-retry") == "true":
            self.assertEqual(pushback, fields.get("retry-after-ms"))
        else:
            self.assertEqual((fields.get("x-should-retry"), pushback), ("false", "-1"))


def fields_of(call):
    return {**dict(call.initial_metadata() or ()), **dict(call.trailing_metadata() or ())}
