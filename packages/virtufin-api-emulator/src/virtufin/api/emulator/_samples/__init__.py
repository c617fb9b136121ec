"""The bundled sample backends: real gRPC servers with reflection, each on its own port."""
