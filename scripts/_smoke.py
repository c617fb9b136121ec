"""Installs each distribution alone into a fresh environment and lets it say hello."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import _registry
import _versions

HELLO = {
    "virtufin-api-protos": """
from virtufin.api.protos import state_pb2
item = state_pb2.StateItem(key="hello")
assert state_pb2.StateItem.FromString(item.SerializeToString()) == item
""",
    "virtufin-api": """
import asyncio, os
from virtufin.api.client import ApiClient

async def main():
    port = int(os.environ["GATEWAY_PORT"])
    async with ApiClient(host="127.0.0.1", grpc_port=port) as client:
        await client.save_state_async("workmanager", "hello", "world")
        assert (await client.get_state_async("workmanager", "hello"))["value"] == "world"

asyncio.run(main())
""",
    "virtufin-api-dapr": """
import asyncio, os
from virtufin.api.client import ApiClient
from virtufin.api.dapr import DaprPublisher

async def main():
    port, sidecar = int(os.environ["GATEWAY_PORT"]), os.environ["DAPR_ADDRESS"]
    async with (
        ApiClient(host="127.0.0.1", grpc_port=port) as client,
        DaprPublisher(address=sidecar) as publisher,
        await client.pubsub.subscribe_async("hello") as subscription,
    ):
        await publisher.publish_async("hello", {"to": "world"})
        assert (await subscription.__anext__()).data_as_json() == {"to": "world"}

asyncio.run(main())
""",
    "virtufin-api-emulator": """
import asyncio
from virtufin.api.client import ApiClient
from virtufin.api.emulator import Emulator

async def main():
    async with Emulator() as gateway:
        async with ApiClient(host=gateway.host, grpc_port=gateway.port) as client:
            assert "workmanager" in await client.list_services_async()

asyncio.run(main())
""",
}


class Source:
    """Where the distributions are installed from; everything else is from the usual index."""

    def __init__(self, name: str, options: list[str], env: dict[str, str] | None = None) -> None:
        self.name = name
        self.options = options
        self.env = env or {}


def from_folder(folder: Path) -> Source:
    """Files on this machine."""
    return Source(str(folder), ["--find-links", str(folder)])


def from_registry(registry: _registry.Registry) -> Source:
    """The registry's index; what it has is taken from there only (uv's first-index strategy)."""
    login = {"UV_INDEX_VIRTUFIN_USERNAME": registry.user}
    login["UV_INDEX_VIRTUFIN_PASSWORD"] = registry.token
    return Source(
        registry.index,
        ["--index", f"virtufin={registry.index}"],
        login if registry.user else {},
    )


def run(source: Source, version: str) -> None:
    """Installs each distribution of this version alone, and exercises it.

    Raises:
        ReleaseError: One cannot be installed, or does not work.
    """
    with tempfile.TemporaryDirectory() as folder, _gateway(Path(folder), source, version) as env:
        for name in _versions.DISTRIBUTIONS:
            python = _install(Path(folder) / name, source, f"{name}=={version}")
            command = [python, "-W", "error", "-c", HELLO[name]]
            if subprocess.run(command, env=env, cwd=folder, check=False).returncode:
                raise _versions.ReleaseError(f"{name} {version} of {source.name} does not work")
            print(f"  {name} {version}: installed alone, said hello", flush=True)


@contextlib.contextmanager
def _gateway(folder: Path, source: Source, version: str) -> Iterator[dict[str, str]]:
    python = _install(folder / "gateway", source, f"virtufin-api-emulator[dapr]=={version}")
    command = [python, "-m", "virtufin.api.emulator", "--port", "0", "--dapr-port", "0"]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUFIN"))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stdout is not None
            address, dapr = (process.stdout.readline().split()[-1:] for _ in range(2))
            if not address or not dapr:
                raise _versions.ReleaseError(f"the emulator of {source.name} does not start")
            port = address[0].rpartition(":")[2]
            yield {**env, "GATEWAY_PORT": port, "DAPR_ADDRESS": dapr[0]}
        finally:
            process.terminate()


def _install(folder: Path, source: Source, requirement: str) -> str:
    python = str(folder / "bin/python")
    env = {**os.environ, **source.env}
    # uv keeps what it unpacked by name and version, and what is not released yet still changes.
    fresh = [f"--refresh-package={name}" for name in _versions.DISTRIBUTIONS]
    install = ["uv", "pip", "install", "--quiet", "--python", python, *fresh, *source.options]
    for command in (
        ["uv", "venv", "--quiet", "--python", sys.executable, str(folder)],
        [*install, requirement],
    ):
        if subprocess.run(command, env=env, check=False).returncode:
            raise _versions.ReleaseError(f"{requirement} cannot be installed from {source.name}")
    return python
