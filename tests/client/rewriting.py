"""An interceptor that sees the JSON of each request to a backend, and may replace the reply's.

For gateways with the packaged layout: interceptors get messages as bytes.
"""

import json

from grpc import aio

from virtufin.api.protos.gateway_pb2 import InvokeJsonRequest, InvokeJsonResponse


class Rewriting(aio.UnaryUnaryClientInterceptor):
    """Records `request`, the JSON of the last call, and returns `reply` if that is not None."""

    def __init__(self):
        self.request = None
        self.reply = None

    async def intercept_unary_unary(self, continuation, details, request):
        # Text or bytes, by the version of grpcio.
        if "Gateway/InvokeJson" not in str(details.method):
            return await continuation(details, request)
        self.request = json.loads(InvokeJsonRequest.FromString(request).request_data)
        if self.reply is None:
            return await continuation(details, request)
        reply = InvokeJsonResponse(success=True, response_data=json.dumps(self.reply))
        return reply.SerializeToString()
