"""Behaviour on other systems that Linux can show: their loops watch no plain sockets."""

import asyncio
from types import SimpleNamespace

import pytest

from virtufin.api.emulator import EmulatorProcess, Relay, sidecar

# Private, because a program of its own on Windows is not available on this machine.
from virtufin.api.emulator._sidecar import program


class NoReaders(asyncio.SelectorEventLoop):
    """Refuses what the event loop of Windows does not have; streams and servers work."""

    def add_reader(self, *_):
        raise NotImplementedError

    def add_signal_handler(self, *_):
        raise NotImplementedError


def test_a_relay_needs_no_reader():
    async def answer(reader, writer):
        writer.write(await reader.readexactly(1))
        writer.close()

    async def main():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        async with server, Relay(f"{host}:{port}") as relay:
            reader, writer = await asyncio.open_connection(relay.host, relay.port)
            writer.write(b"x")
            assert await reader.read() == b"x"
            writer.close()
            relay.refuse_connections()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(relay.host, relay.port)

    loop = NoReaders()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def test_an_emulator_process_ends_with_its_standard_input():
    with EmulatorProcess() as gateway:
        gateway._process.stdin.close()
        assert gateway._process.wait(30) == 0


def test_a_real_sidecar_is_refused_in_words_on_windows(monkeypatch):
    monkeypatch.setattr(program, "os", SimpleNamespace(name="nt"))
    for use in (lambda: program.Program(["daprd"]), sidecar.find_daprd, sidecar.find_redis):
        with pytest.raises(NotImplementedError, match="Linux and macOS only"):
            use()
