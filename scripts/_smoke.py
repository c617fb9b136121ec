"""Installs each distribution alone into a fresh environment and lets it say hello."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import _process
import _registry
import _versions

INSTALL_TIMEOUT = 600.0
HELLO_TIMEOUT = 60.0
_REACHES = re.compile(
    r"UV_(DEFAULT_INDEX|INDEX_URL|INDEX_.*_(USERNAME|PASSWORD)|CACHE_DIR|LINK_MODE|HTTP_.*"
    r"|REQUEST_TIMEOUT|NATIVE_TLS|SYSTEM_CERTS|INSECURE_HOST|PYTHON_DOWNLOADS|OFFLINE)"
)
"""The variables of uv that say how to reach things; the others would choose versions."""
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
    """The index of the distributions; everything else is from the usual index."""

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
            what = f"{name} {version} of {source.name}"
            _bounded(command, env, HELLO_TIMEOUT, f"{what} does not work", Path(folder))
            print(f"  {name} {version}: installed alone, said hello", flush=True)


@contextlib.contextmanager
def _gateway(folder: Path, source: Source, version: str) -> Iterator[dict[str, str]]:
    python = _install(folder / "gateway", source, f"virtufin-api-emulator[dapr]=={version}")
    command = [python, "-m", "virtufin.api.emulator", "--port", "0", "--dapr-port", "0"]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUFIN"))}
    with _process.running(command, env) as process:
        try:
            gateway, dapr = _process.emulator_addresses(process)
        except (RuntimeError, TimeoutError) as error:
            raise _versions.ReleaseError(f"emulator of {source.name}: {error}") from None
        yield {**env, "GATEWAY_PORT": gateway.rpartition(":")[2], "DAPR_ADDRESS": dapr}


def _install(folder: Path, source: Source, requirement: str) -> str:
    python = str(folder / "bin/python")
    env = {k: v for k, v in os.environ.items() if not k.startswith("UV_") or _REACHES.fullmatch(k)}
    # uv keeps what it unpacked by name and version, and what is not released yet still changes.
    fresh = [f"--refresh-package={name}" for name in _versions.DISTRIBUTIONS]
    for command in (
        ["venv", "--python", sys.executable, str(folder)],
        ["pip", "install", "--python", python, *fresh, *source.options, requirement],
    ):
        _bounded(
            ["uv", "--quiet", "--no-config", *command],
            {**env, **source.env},
            INSTALL_TIMEOUT,
            f"{requirement} cannot be installed from {source.name}",
        )
    return python


def _bounded(
    command: list[str], env: dict[str, str], timeout: float, otherwise: str, cwd: Path | None = None
) -> None:
    try:
        done = subprocess.run(command, env=env, cwd=cwd, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise _versions.ReleaseError(f"{otherwise}: not done after {timeout:.0f} s") from None
    if done.returncode:
        raise _versions.ReleaseError(otherwise)
