"""The sample backends: two services behind the gateway, so that clients have something to call.

Each is a gRPC server with reflection on a port of its own, as real backends are.
"""
