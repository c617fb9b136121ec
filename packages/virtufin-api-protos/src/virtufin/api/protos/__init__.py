"""Generated protobuf messages and gRPC stubs of the Virtufin.Api gateway.

Messages live in `cloudevents_pb2`, `gateway_pb2`, `pubsub_pb2`, `state_pb2` and `config_pb2`, stubs
in the `*_pb2_grpc` modules (these need grpcio: `pip install "virtufin-api-protos[grpc]"`). All of
them register in a descriptor pool of their own, so they import beside any other package that
carries `io.cloudevents.v1` or messages of package `virtufin`.

Because of that pool, well-known types here are classes of their own: fill a timestamp with
`FromDatetime`, not by `CopyFrom(google.protobuf.timestamp_pb2.Timestamp())`.

Example:
    >>> from virtufin.api.protos import pubsub_pb2
    >>> pubsub_pb2.SubscribeRequest(topics=["prices"]).topics[0]
    'prices'
"""

__version__ = "0.2.0"
__all__ = ["__version__"]
