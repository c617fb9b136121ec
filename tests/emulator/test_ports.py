"""Ports that the emulator takes."""

import errno
import socket
import sys

import pytest

# Private, because no other program can be made to take a port at just this moment.
from virtufin.api.emulator import _ports


class Server:
    """Stands for gRPC's server; tries to take the port just before it is bound."""

    def __init__(self):
        self.refused = []

    def add_insecure_port(self, address):
        host, _, port = address.rpartition(":")
        family = socket.AF_INET6 if "[" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as other:
            try:
                other.bind((host.strip("[]"), int(port)))
            except OSError as error:
                self.refused.append(error.errno)
        return int(port)


@pytest.mark.skipif(sys.platform != "linux", reason="ports are held on Linux only")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_free_port_stays_free_until_it_is_bound(host):
    server = Server()
    assert await _ports.listen(server, host, 0)
    assert server.refused
    assert set(server.refused) == {errno.EADDRINUSE}
