"""The command line of `virtufin-emulator`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from virtufin.api.emulator import __version__, _signals
from virtufin.api.emulator._emulator import Emulator
from virtufin.api.emulator._invocation import Service, read_services
from virtufin.api.emulator._process import ControlServer
from virtufin.api.emulator._settings import DaprSettings, InvocationPolicy
from virtufin.api.emulator._wires import WIRES

KEYS_VARIABLE = "VIRTUFIN_EMULATOR_API_KEYS"
PROGRAM = "virtufin-emulator"
# 2, because argparse ends with this code, too.
USAGE_ERROR = 2
FAILURE = 1

_DESCRIPTION = """\
An emulator of the Virtufin.Api gateway: service invocation, state, pub/sub and config over gRPC.
For development and tests. It keeps everything in memory, and all is gone when it ends; with
--backend dapr it keeps nothing, and a Dapr sidecar does the work.

Unless --services says otherwise it has two backends, bundled samples that run as gRPC servers of
their own: `workmanager` with one running worker and `websocketmanager` with one connection."""

_EPILOG = f"""\
examples:
  virtufin-emulator
      on 127.0.0.1:5002, where ApiClient() looks for it
  virtufin-emulator --port 0
      on a free port; the first line on stdout says which: `listening on 127.0.0.1:40123`
  virtufin-emulator --api-key secret
      as a gateway with authentication; clients send the key as x-api-key
  virtufin-emulator --services services.toml
      with backends of yours, found by server reflection
  virtufin-emulator --backend dapr --dapr-address 127.0.0.1:50001
      state and events through the Dapr sidecar there, shared with other replicas

the services file, one table per backend:
  [[service]]
  name = "orders"                        # client.gateway.orders
  address = "127.0.0.1:6001"             # or sample:workmanager, sample:websocketmanager,
                                         # or dapr:APP-ID, with --backend dapr
  grpc_service = "acme.Orders"           # optional, as are dapr_app_id, pubsub_name,
  state_keys = ["open"]                  # store_name and state_keys

environment:
  DAPR_GRPC_ENDPOINT, or DAPR_RUNTIME_HOST and DAPR_GRPC_PORT, and DAPR_API_TOKEN: the sidecar
  {KEYS_VARIABLE}   API keys, separated by commas, where --api-key is not given

exit status: 0 after SIGINT or SIGTERM (130 or 143 if that came before it listened), 1 if the port
cannot be opened, 2 for a wrong argument."""


# Options that need --backend dapr, by the names of `DaprSettings`.
_DAPR_OPTIONS = ("address", "pubsub_name", "store_name", "keep_history")
_FLAGS = {"address": "dapr-address", "store-name": "state-store"}


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the arguments of the command."""
    cli = argparse.ArgumentParser(
        prog=PROGRAM,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    cli.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    cli.add_argument(
        "--port", type=_parse_port, default=5002, help="0 takes a free one (default: %(default)s)"
    )
    cli.add_argument(
        "--api-key",
        action="append",
        metavar="KEY",
        help="a key that callers may use; repeatable; without any, no key is needed",
    )
    cli.add_argument("--services", metavar="FILE", help="TOML file with the backends")
    cli.add_argument(
        "--accept-any-service",
        action="store_true",
        help="take state of services that are not registered, too",
    )
    cli.add_argument(
        "--json-names",
        choices=("camel", "proto"),
        default="camel",
        help="field names in JSON replies (default: %(default)s, as the real gateway)",
    )
    cli.add_argument(
        "--hold-headers",
        action="store_true",
        help="send a subscription's response headers with its first event only",
    )
    cli.add_argument(
        "--no-legacy-state",
        action="store_true",
        help="answer UNIMPLEMENTED to RegisterKeys and GetAllState, as newer gateways do",
    )
    cli.add_argument(
        "--wire",
        choices=WIRES,
        default="current",
        help="messages and methods: as packaged, the same with every field number one higher, or "
        "events and streams as earlier gateways had them (default: %(default)s)",
    )
    cli.add_argument(
        "--heartbeat",
        type=float,
        metavar="SECONDS",
        help="with --wire earlier: send an empty event on a stream that was idle for so long",
    )
    cli.add_argument(
        "--no-reflection",
        action="store_true",
        help="answer UNIMPLEMENTED to server reflection",
    )
    cli.add_argument(
        "--relay",
        action="store_true",
        help="take connections through a TCP relay, which faults of the network need",
    )
    cli.add_argument(
        "--backend",
        choices=("memory", "dapr"),
        default="memory",
        help="what keeps state and carries events: this process, or a Dapr sidecar "
        "(default: %(default)s)",
    )
    cli.add_argument(
        "--dapr-address",
        dest="address",
        metavar="ADDRESS",
        help="with --backend dapr: the sidecar's gRPC API (default: as Dapr's variables say)",
    )
    cli.add_argument(
        "--pubsub-name", metavar="NAME", help="its pub/sub component (default: pubsub)"
    )
    cli.add_argument(
        "--state-store", dest="store_name", metavar="NAME", help="its store (default: statestore)"
    )
    cli.add_argument(
        "--keep-history",
        action="store_true",
        help="hand on what topics held before the gateway was started",
    )
    cli.add_argument(
        "--dapr-port",
        type=_parse_port,
        metavar="PORT",
        help="stand in for the publishing part of a Dapr sidecar on this port, 0 for a free one; "
        "a second line on stdout says which",
    )
    cli.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="warning",
        help="what is logged to stderr (default: %(default)s)",
    )
    cli.add_argument(
        "--control-port",
        type=_parse_port,
        metavar="PORT",
        help="advanced: serve fault plans to other processes on this loopback port, 0 for a free "
        "one; a further line on stdout says which",
    )
    cli.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    # For `EmulatorProcess`: arguments of Emulator as a line of JSON on stdin. The end of stdin ends
    # the emulator, so that the emulator never outlives the process that started it.
    cli.add_argument("--piped", action="store_true", help=argparse.SUPPRESS)
    return cli


def run(arguments: Sequence[str]) -> int:
    """Runs the emulator until SIGINT or SIGTERM, and returns the exit code of the command.

    With the option `--piped`, the end of stdin ends the emulator, too.

    Args:
        arguments: The arguments of the command, without its name.
    """
    cli = make_parser()
    options = cli.parse_args(arguments)
    logging.basicConfig(level=options.log_level.upper(), stream=sys.stderr)
    try:
        emulator = Emulator(
            **(_read_piped_settings() if options.piped else _read_settings(options))
        )
    except (ValueError, TypeError, ImportError) as error:
        return _fail(USAGE_ERROR, str(error))
    try:
        asyncio.run(_serve(emulator, options.control_port, piped=options.piped))
    except OSError as error:
        return _fail(FAILURE, error.strerror or str(error))
    return 0


def _fail(code: int, why: str) -> int:
    print(f"{PROGRAM}: error: {why}", file=sys.stderr)
    return code


def _read_settings(options: argparse.Namespace) -> dict[str, Any]:
    keys = options.api_key
    if keys is None:
        keys = [key.strip() for key in os.environ.get(KEYS_VARIABLE, "").split(",") if key.strip()]
    return {
        "host": options.host,
        "port": options.port,
        "api_keys": keys,
        "services": read_services(options.services) if options.services else None,
        "accept_any_service": options.accept_any_service,
        "json_names": options.json_names,
        "hold_headers": options.hold_headers,
        "legacy_state": not options.no_legacy_state,
        "wire": options.wire,
        "heartbeat": options.heartbeat,
        "reflection": not options.no_reflection,
        "relay": options.relay,
        "dapr": _read_dapr_settings(options),
        "dapr_port": options.dapr_port,
    }


def _read_dapr_settings(options: argparse.Namespace) -> DaprSettings | None:
    options_given = ((name, getattr(options, name)) for name in _DAPR_OPTIONS)
    given = {name: value for name, value in options_given if value not in (None, False)}
    if options.backend == "dapr":
        return DaprSettings(**given)
    if given:
        name = next(iter(given)).replace("_", "-")
        raise ValueError(f"--{_FLAGS.get(name, name)} needs --backend dapr")
    return None


def _read_piped_settings() -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(sys.stdin.readline())
    if settings.get("services") is not None:
        settings["services"] = [Service(**service) for service in settings["services"]]
    if settings.get("invocation") is not None:
        settings["invocation"] = InvocationPolicy(**settings["invocation"])
    if settings.get("dapr") is not None:
        settings["dapr"] = DaprSettings(**settings["dapr"])
    return settings


async def _serve(emulator: Emulator, control_port: int | None, *, piped: bool) -> None:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    if piped:
        # A thread, because event loops on Windows cannot watch standard input. A daemon thread,
        # because it waits in a system call that nothing ends before the process does.
        reader = threading.Thread(target=_await_end_of_input, args=(loop, ending), daemon=True)
        reader.start()
    control = ControlServer(emulator)
    try:
        await emulator.start()
        # Set only now, because until the emulator listens a signal should end the process at once.
        _signals.call_once(lambda: loop.call_soon_threadsafe(ending.set))
        print(f"listening on {emulator.target}", flush=True)
        if emulator.has_stand_in:
            print(f"dapr on {emulator.dapr_address}", flush=True)
        if control_port is not None:
            print(f"control on 127.0.0.1:{await control.start(control_port)}", flush=True)
        await ending.wait()
    finally:
        _signals.ignore()
        await control.stop()
        await emulator.stop()


def _await_end_of_input(loop: asyncio.AbstractEventLoop, ending: asyncio.Event) -> None:
    # Not `sys.stdin.read`, because Python crashes if it ends while `sys.stdin` holds its lock.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    with suppress(RuntimeError):  # The loop is closed, because the emulator has already ended.
        loop.call_soon_threadsafe(ending.set)


def _parse_port(text: str) -> int:
    number = int(text) if text.isdecimal() else -1
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port number")
    return number
