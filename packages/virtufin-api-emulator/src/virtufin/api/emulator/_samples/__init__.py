"""The bundled backends: real gRPC servers with reflection, each on a port of its own."""
