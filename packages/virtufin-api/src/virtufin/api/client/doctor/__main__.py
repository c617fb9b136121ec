"""The command `python -m virtufin.api.client.doctor [HOST:PORT]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from typing import Any

from virtufin.api.client._settings import TlsSettings
from virtufin.api.client.doctor import diagnose
from virtufin.api.client.errors import InvalidInputError

_EPILOG = (
    "Exit codes: 0 this client can work there, 1 it cannot or not wholly, 2 the command is wrong. "
    "VIRTUFIN_API_HOST, VIRTUFIN_API_GRPC_PORT, VIRTUFIN_API_KEY and VIRTUFIN_API_TLS say what is "
    "not given."
)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit code.

    Args:
        arguments: Arguments of the command; default those of the process.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        address, settings = _address(given.target), _settings(given)
        report = asyncio.run(
            diagnose(
                *address,
                timeout=given.timeout,
                publish=not given.no_publish,
                topic=given.topic,
                **settings,
            )
        )
    except InvalidInputError as error:
        parser.error(str(error))
    # 128 + SIGINT, because shells use that code for a command ended by Ctrl-C.
    except KeyboardInterrupt:
        return 130
    text = json.dumps(report.as_dict(), indent=2) if given.json else str(report)
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Ignored, because the reader of the pipe, such as `head`, has read enough. Output goes to
        # the null device from here on, because Python would fail again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0 if report.ok else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m virtufin.api.client.doctor",
        description="Says whether this client can work with a gateway, and what is in the way.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "target", nargs="?", metavar="HOST:PORT", help="the gateway; a gRPC target is taken too"
    )
    parser.add_argument(
        "--api-key", metavar="KEY", help="better in VIRTUFIN_API_KEY: `ps` shows it"
    )
    parser.add_argument("--tls", action="store_true", help="use TLS")
    parser.add_argument(
        "--ca", metavar="FILE", help="PEM file of authorities to trust; means --tls"
    )
    parser.add_argument(
        "--server-name", metavar="NAME", help="name in the certificate; means --tls"
    )
    parser.add_argument(
        "--timeout", type=float, default=5.0, metavar="SECONDS", help="of each check (default 5)"
    )
    parser.add_argument(
        "--no-publish", action="store_true", help="publish no event to see whether it comes back"
    )
    parser.add_argument("--topic", help="where to publish (default virtufin.doctor)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _address(target: str | None) -> tuple[Any, ...]:
    """Returns the positional arguments of `ApiClient`: host and port, a gRPC target, or none."""
    if target is None:
        return ()
    host, colon, port = target.rpartition(":")
    # Only a plain HOST:PORT is split, because gRPC targets and bare IPv6 addresses have colons too.
    plain = colon and port.isdecimal() and (":" not in host or (host[0] == "[" and host[-1] == "]"))
    if plain and host:
        return host, int(port)
    return (target,)


def _settings(given: argparse.Namespace) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if given.api_key is not None:
        settings["api_key"] = given.api_key
    if given.ca or given.server_name:
        settings["tls"] = TlsSettings(ca=given.ca, server_name=given.server_name)
    elif given.tls:
        settings["tls"] = True
    return settings


if __name__ == "__main__":
    sys.exit(main())
