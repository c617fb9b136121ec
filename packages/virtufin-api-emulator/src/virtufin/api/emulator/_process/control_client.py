"""The client of the control service: causes faults of an emulator in another process.

The classes have the methods of `Faults`, `Network` and `Plan`, and send each call to
`control_server`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import grpc

from virtufin.api.emulator._validation import require_bool
from virtufin.api.emulator.faults import Faults, Plan, Spec
from virtufin.api.emulator.network import Network

from .control_server import PATH

# A bound, because a process that is stopped or stuck would hang the test for ever.
_CALL_TIMEOUT = 10.0
# The control service names one of these, so that both places raise the same classes.
_KINDS = {kind.__name__: kind for kind in (TypeError, ValueError, OSError, RuntimeError)}


class ControlClient:
    """A connection to the control service of one emulator."""

    def __init__(self, target: str, name: str) -> None:
        """Does no I/O. The first request connects. `close` must be called at the end.

        Args:
            target: `host:port` of the service.
            name: Name of the emulator in error texts.
        """
        self._name = name
        self._closed = False
        # Without a proxy, because the service listens on loopback.
        self._channel = grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)])
        self._call: Any = self._channel.unary_unary(PATH)

    def do(self, verb: str, *, patience: float = 0.0, **arguments: Any) -> Any:
        """Sends one request, waits for the answer, and returns the result.

        Args:
            verb: Name of the method to call, as `ControlServer` describes.
            patience: Seconds that the request may take beyond the usual 10 seconds.
            **arguments: Arguments of the method.

        Raises:
            ValueError: The emulator rejected the request.
            TypeError: The emulator rejected the request: an argument has the wrong type.
            RuntimeError: The emulator rejected the request: a fault of the network needs a relay.
            ConnectionError: The emulator does not answer because it has ended.
            OSError: The emulator could not open its port, or could not reach its Dapr sidecar.
        """
        if self._closed:
            raise ConnectionError(f"{self._name} was stopped")
        request = json.dumps({"do": verb, **arguments}).encode()
        try:
            reply = self._call(request, timeout=_CALL_TIMEOUT + patience)
        except grpc.RpcError as error:
            # ConnectionError, because any failure to reach a process on this machine means that the
            # process has ended or is stuck.
            failure: Any = error
            raise ConnectionError(
                f"{self._name} does not answer or has ended ({failure.code().name})"
            ) from error
        answer = json.loads(reply)
        if "error" in answer:
            raise _KINDS[answer["kind"]](answer["error"])
        return answer["result"]

    def close(self) -> None:
        """Closes the connection. Further requests raise ConnectionError."""
        self._closed = True
        self._channel.close()


class _RemotePlan(Plan):
    """A fault plan in force in the process of the emulator."""

    def __init__(self, control: ControlClient, number: int) -> None:
        self._control = control
        self._number = number

    @property
    def used(self) -> int:
        return int(self._control.do("used", plan=self._number))

    def lift(self) -> None:
        self._control.do("lift", plan=self._number)


class RemoteFaults(Faults):
    """Faults of calls and streams of an emulator in another process."""

    def __init__(self, control: ControlClient) -> None:
        self._control = control

    def add(self, spec: Spec) -> Plan:
        return _RemotePlan(self._control, self._control.do("add", **asdict(spec)))

    def clear(self) -> None:
        self._control.do("clear")

    @property
    def open_streams(self) -> int:
        return int(self._control.do("open_streams"))

    def _cut(self, code: str, topic: str | None, details: str) -> int:
        return int(self._control.do("cut_streams", code=code, topic=topic, details=details))


class RemoteNetwork(Network):
    """Faults of connections of an emulator in another process."""

    def __init__(self, control: ControlClient) -> None:
        self._control = control

    @property
    def connections(self) -> int:
        return int(self._control.do("connections"))

    def clear(self) -> None:
        self._control.do("clear_network")

    def close_connections(self) -> int:
        return int(self._control.do("close_connections"))

    def reset_connections(self) -> int:
        return int(self._control.do("reset_connections"))

    def freeze_connections(self, *, new: bool = False) -> Plan:
        number = self._control.do("freeze_connections", new=require_bool(new, "new"))
        return _RemotePlan(self._control, number)

    def refuse_connections(self) -> Plan:
        return _RemotePlan(self._control, self._control.do("refuse_connections"))
