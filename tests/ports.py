"""Ports of the tests' own servers, kept from other processes while a server is away.

The system gives a port that nothing listens on to whichever process wants one next. A test that
stops a server and starts another at the same address would now and then find its port taken, above
all when tests run in parallel.
"""

import socket
from contextlib import ExitStack, contextmanager

import pytest


@contextmanager
def kept_port():
    """Takes a free port on 127.0.0.1: only servers that know the number can listen on it."""
    with socket.socket() as reserved:
        # Bound and never listening. Servers set SO_REUSEADDR too, so they can bind it beside this.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


@pytest.fixture
def take_port():
    """Takes free ports, kept until the end of the test: `take_port()`."""
    with ExitStack() as kept:
        yield lambda: kept.enter_context(kept_port())


@pytest.fixture
def unused_port(take_port):
    """A port on which nothing listens."""
    return take_port()
