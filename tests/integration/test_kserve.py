"""KServe v2 over gRPC: the mock service's gRPC side, alone and behind the proxy."""

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import grpc
import harness
from harness import eventually

PROTO_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/mock-ai")
SERVICE = "/inference.GRPCInferenceService/"


def setUpModule():
    """The messages' classes, made by protoc for this run."""
    global messages, generated
    generated = tempfile.mkdtemp(prefix="outrigger-kserve-")
    subprocess.run(["protoc", f"--proto_path={PROTO_FOLDER}", f"--python_out={generated}",
                    "kserve.proto"], check=True, timeout=60)
    sys.path.insert(0, generated)
    messages = importlib.import_module("kserve_pb2")


def tearDownModule():
    sys.path.remove(generated)
    shutil.rmtree(generated)


def infer_request(text, name="mock"):
    request = messages.ModelInferRequest(model_name=name, id="7")
    tensor = request.inputs.add(name="text_input", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(text.encode())
    return request


def text_of(response):
    return response.outputs[0].contents.bytes_contents[0].decode()


@unittest.skipIf("thread" in harness.SANITIZE, "gRPC's own library is not instrumented")
class KserveTest(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.mock = self.mock_ai("--grpc", "127.0.0.1:0", "--ttft", "5ms", "--itl", "2ms",
                                 "--tokens", "8")
        self.grpc_address = self.mock.wait_line(r"grpc on (\S+)")[1]

    def channel_to(self, address):
        channel = grpc.insecure_channel(address)
        self.addCleanup(channel.close)
        return channel

    def proxied(self, **options):
        config = self.config(self.grpc_address, upstream_options={"protocol": "http2"}, **options)
        proxy = self.outrigger_with(config)
        return self.channel_to("{}:{}".format(*proxy.address))

    @staticmethod
    def infer(channel, text, **metadata):
        call = channel.unary_unary(SERVICE + "ModelInfer",
                                   request_serializer=messages.ModelInferRequest.SerializeToString,
                                   response_deserializer=messages.ModelInferResponse.FromString)
        pairs = [(name.replace("_", "-"), value) for name, value in metadata.items()]
        return call(infer_request(text), metadata=pairs, timeout=harness.DEADLINE)

    @staticmethod
    def stream(channel, requests, timeout=harness.DEADLINE, **metadata):
        call = channel.stream_stream(
            SERVICE + "ModelStreamInfer",
            request_serializer=messages.ModelInferRequest.SerializeToString,
            response_deserializer=messages.ModelStreamInferResponse.FromString)
        pairs = [(name.replace("_", "-"), value) for name, value in metadata.items()]
        return call(iter(requests), metadata=pairs, timeout=timeout)

    def assert_fails(self, code, call):
        with self.assertRaises(grpc.RpcError) as failed:
            call()
        self.assertEqual(failed.exception.code(), code, failed.exception.details())
        return failed.exception


class Calls(KserveTest):
    def channels(self):
        return {"alone": self.channel_to(self.grpc_address), "proxied": self.proxied()}

    def test_infer(self):
        for name, channel in self.channels().items():
            with self.subTest(name):
                answer = self.infer(channel, "hello", x_mock_id=name)
                self.assertEqual((answer.model_name, answer.id), ("mock", "7"))
                self.assertTrue(text_of(answer).startswith(f"Execution 1 of {name}:"))
                entry = self.mock.entry(name)
                self.assertEqual((entry["executed"], entry["completed"]), (1, 1))

    def test_a_stream_in_both_directions(self):
        for name, channel in self.channels().items():
            with self.subTest(name):
                requests = [infer_request("one"), infer_request("two")]
                texts = [text_of(message.infer_response)
                         for message in self.stream(channel, requests, x_mock_id=name)]
                self.assertEqual(len(texts), 16)
                self.assertEqual(self.mock.entry(name)["executed"], 1)

    def test_what_it_says_of_itself(self):
        for name, channel in self.channels().items():
            with self.subTest(name):
                for method, field in (("ServerLive", "live"), ("ServerReady", "ready"),
                                      ("ModelReady", "ready")):
                    call = channel.unary_unary(
                        SERVICE + method,
                        request_serializer=getattr(messages, method + "Request").SerializeToString,
                        response_deserializer=getattr(messages, method + "Response").FromString)
                    request = getattr(messages, method + "Request")()
                    self.assertTrue(getattr(call(request, timeout=harness.DEADLINE), field))

    def test_a_caller_who_leaves_cancels_its_execution(self):
        for name, channel in self.channels().items():
            with self.subTest(name):
                call = self.stream(channel, [infer_request("x")], x_mock_id=name,
                                   x_mock_fault="stall-body:2")
                self.assertTrue(next(call))
                call.cancel()
                eventually(lambda: self.mock.entry(name)["cancelled"] == 1, "the call is cancelled")


class Faults(KserveTest):
    def test_faults_are_asked_for_by_metadata(self):
        channel = self.channel_to(self.grpc_address)
        for fault, code in (("status:503", grpc.StatusCode.UNAVAILABLE),
                            ("status:429", grpc.StatusCode.RESOURCE_EXHAUSTED),
                            ("rst-at:3", grpc.StatusCode.INVALID_ARGUMENT),
                            ("nonsense", grpc.StatusCode.INVALID_ARGUMENT)):
            with self.subTest(fault):
                self.assert_fails(code, lambda: self.infer(channel, "x", x_mock_fault=fault,
                                                           x_mock_id=fault.replace(":", "-")))
                self.assertEqual(self.mock.entry(fault.replace(":", "-"))["executed"], 0)
        failed = self.assert_fails(grpc.StatusCode.UNAVAILABLE, lambda: self.infer(
            channel, "x", x_mock_fault="status:503;header:grpc-retry-pushback-ms=12"))
        self.assertIn(("grpc-retry-pushback-ms", "12"), failed.trailing_metadata())

    def test_a_stream_that_is_cut(self):
        channel = self.channel_to(self.grpc_address)
        call = self.stream(channel, [infer_request("x")], x_mock_fault="cut-after:3")
        self.assertEqual([bool(next(call)) for _ in range(3)], [True] * 3)
        self.assert_fails(grpc.StatusCode.UNAVAILABLE, lambda: next(call))

    def test_an_input_that_it_does_not_know(self):
        channel = self.channel_to(self.grpc_address)
        call = channel.unary_unary(SERVICE + "ModelInfer")
        self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT,
                          lambda: call(b"", timeout=harness.DEADLINE))


if __name__ == "__main__":
    unittest.main()
