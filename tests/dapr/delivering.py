"""A sidecar that delivers to an app, and the two kinds of server an app may have."""

import contextlib
import json

import grpc.aio
from dapr.proto import appcallback_service_v1, appcallback_v1, common_v1
from google.protobuf.empty_pb2 import Empty

CALLBACK = "/dapr.proto.runtime.v1.AppCallback"
ALPHA = "/dapr.proto.runtime.v1.AppCallbackAlpha"


def topic_event(topic="orders", data=None, **fields):
    """A TopicEventRequest with JSON data, as daprd sends it."""
    extensions = fields.pop("extensions", {})
    request = appcallback_v1.TopicEventRequest(
        **{
            "id": "1",
            "source": "urn:com.virtufin.test",
            "type": "com.virtufin.test.happened",
            "spec_version": "1.0",
            "data_content_type": "application/json",
            "data": json.dumps(data).encode(),
            "topic": topic,
            "pubsub_name": "pubsub",
            **fields,
        }
    )
    request.extensions.update(
        {"time": "2026-01-02T03:04:05Z", "topic": topic, "pubsubname": "pubsub", **extensions}
    )
    return request


def request_event(topic="orders", data=None, **fields):
    """An event whose sender waits for a reply."""
    extensions = {"correlationid": "c-1", "replytopic": "replies"}
    return topic_event(topic, data, extensions=extensions, **fields)


class Caller:
    """The calls of a sidecar to its app."""

    def __init__(self, channel, token=None):
        self.metadata = () if token is None else (("dapr-api-token", token),)
        self.channel = channel
        self.callback = appcallback_service_v1.AppCallbackStub(channel)
        self._health = appcallback_service_v1.AppCallbackHealthCheckStub(channel)

    def send(self, request):
        """Delivers an event; returns the call."""
        return self.callback.OnTopicEvent(request, metadata=self.metadata)

    async def event(self, topic="orders", data=None, **fields):
        """Delivers an event; returns the outcome's name."""
        return status_of(await self.send(topic_event(topic, data, **fields)))

    async def bulk(self, request, method=f"{CALLBACK}/OnBulkTopicEvent"):
        """Delivers several events; returns the outcomes by entry."""
        call = self.channel.unary_unary(
            method,
            request_serializer=appcallback_v1.TopicEventBulkRequest.SerializeToString,
            response_deserializer=appcallback_v1.TopicEventBulkResponse.FromString,
        )
        answer = await call(request, metadata=self.metadata)
        return {entry.entry_id: status_of(entry) for entry in answer.statuses}

    async def invoke(self, method, data=b"", content_type="", **http):
        """Calls a method; returns data and media type."""
        request = common_v1.InvokeRequest(method=method, content_type=content_type)
        request.data.value = data
        if http:
            request.http_extension.verb = common_v1.HTTPExtension.Verb.Value(http["verb"])
            request.http_extension.querystring = http["query"]
        answer = await self.callback.OnInvoke(request, metadata=(*self.metadata, ("tenant", "a")))
        return answer.data.value, answer.content_type

    async def bind(self, name, data=b"", **metadata):
        """Delivers an event of a binding; returns the answer's data."""
        request = appcallback_v1.BindingEventRequest(name=name, data=data, metadata=metadata)
        return (await self.callback.OnBindingEvent(request, metadata=self.metadata)).data

    async def subscriptions(self):
        """Returns the topics that the app subscribes to."""
        return list((await self.callback.ListTopicSubscriptions(Empty())).subscriptions)

    async def bindings(self):
        """Returns the bindings that the app listens to."""
        return list((await self.callback.ListInputBindings(Empty())).bindings)

    async def healthy(self):
        """Calls the app's health check."""
        try:
            await self._health.HealthCheck(Empty())
        except grpc.aio.AioRpcError:
            return False
        return True


def status_of(answer):
    return appcallback_v1.TopicEventResponse.TopicEventResponseStatus.Name(answer.status)


@contextlib.asynccontextmanager
async def calling(port, token=None):
    """A connection of its own to an app."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        yield Caller(channel, token)


@contextlib.asynccontextmanager
async def own(app, token=None):
    """Runs an app on its own server."""
    async with app, calling(app.port, token) as caller:
        yield caller


@contextlib.asynccontextmanager
async def attached(app, token=None, ext_app=None):
    """Runs an app's handlers in this loop, called by an App of dapr.ext.grpc."""
    import asyncio

    from dapr.ext.grpc import App

    ext_app = ext_app or App()
    attachment = app.attach(ext_app, loop=asyncio.get_running_loop())
    # App.run() blocks, and does not return a free port.
    port = ext_app._server.add_insecure_port("127.0.0.1:0")
    ext_app._server.start()
    try:
        async with calling(port, token) as caller:
            caller.attachment = attachment
            yield caller
    finally:
        await attachment.aclose()
        await asyncio.to_thread(ext_app._server.stop(0).wait)
