"""The example files, run as their reader runs them: as processes against a gateway."""

import os
import re
import subprocess
import sys

import pytest

from tests.workspace import ROOT

EXAMPLES = ROOT / "docs/examples"
SERVICES = r"\['workmanager', 'websocketmanager'\]"
PRINTED = {
    "quick_start": rf"Services: {SERVICES}\n",
    "list_services": rf"{SERVICES}\n(  virtufin\.WorkManager\.\w+\n){{9}}",
    "state_management": (
        r"Saved: True\nValue: myvalue, Etag: \S+\nAll state: \{'mykey': 'myvalue'\}\n"
    ),
    "subscribe_to_events": r"Event: workmanager/workmanager\.lifecycle\n",
    "pubsub": "".join(f"Received: Message {number}\n" for number in range(5)),
    "request_reply": r"Got response: \{'command': 'status', 'running': True\}\n",
    "workmanager": (
        rf"Available services: {SERVICES}\n"
        r"  \S+: WORKER_STATUS_RUNNING \(python\)\n"
        r"  created, started and deleted one more\n"
    ),
    "websocketmanager": (
        r"  \S+: wss://\S+ \(connected\)\n  connected and disconnected one more\n"
    ),
    "stream_event_handler": r"Event: client/my-topic\n",
    "dapr_publisher": r"Published: True\n",
    "error_handling": r"Gateway error: .*unknown-service.*\n",
    "thread_safety": rf"3 tasks, the same answer: True\nthread: {SERVICES}\n",
}


def test_every_example_is_tested():
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names == PRINTED.keys()


@pytest.mark.parametrize("name", PRINTED)
def test_example(name, virtufin_emulator, sidecar_port):
    gateway = virtufin_emulator
    env = {
        **os.environ,
        "VIRTUFIN_API_HOST": gateway.host,
        "VIRTUFIN_API_GRPC_PORT": str(gateway.port),
        "DAPR_GRPC_PORT": str(sidecar_port),
    }
    result = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        env=env,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert re.fullmatch(PRINTED[name], result.stdout), result.stdout
