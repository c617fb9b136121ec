"""A Dapr sidecar for pages that publish past the gateway."""

from concurrent import futures

import grpc
import pytest
from dapr.proto import api_service_v1, api_v1
from google.protobuf.empty_pb2 import Empty


class _Accepting(api_service_v1.DaprServicer):
    def PublishEvent(self, request, context):
        return Empty()

    def BulkPublishEventAlpha1(self, request, context):
        return api_v1.BulkPublishResponse()


@pytest.fixture
def sidecar_port():
    # Synchronous: it must answer while a page's code runs a loop of its own.
    server = grpc.server(futures.ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 0)])
    api_service_v1.add_DaprServicer_to_server(_Accepting(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(0).wait()
