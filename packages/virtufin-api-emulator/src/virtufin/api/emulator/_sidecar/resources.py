"""Resource files of a sidecar: a resiliency policy to write, and names of components to read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

_REDELIVERY_PAUSE = 200
"""Pause between two deliveries in milliseconds."""
# More attempts than fit into the processing timeout, so that daprd gives up only after Redis takes
# over.
_SPARE_ATTEMPTS = 5


def component(
    name: str, kind: str, metadata: Mapping[str, str] | None = None, *, scopes: Sequence[str] = ()
) -> str:
    """Returns the text of a Dapr component file.

    Args:
        name: Name of the component in calls, such as `pubsub`.
        kind: Type of the component, such as `pubsub.redis` (see Dapr's component reference).
        metadata: Settings of the component.
        scopes: App-ids that may use the component. Empty means all.
    """
    document: dict[str, Any] = {
        "apiVersion": "dapr.io/v1alpha1",
        "kind": "Component",
        "metadata": {"name": name},
        "spec": {
            "type": kind,
            "version": "v1",
            "metadata": [{"name": key, "value": value} for key, value in (metadata or {}).items()],
        },
    }
    if scopes:
        document["scopes"] = list(scopes)
    # JSON, because JSON is valid YAML and can be written without a YAML library.
    return json.dumps(document, indent=2)


def make_redelivery_policy(pubsub_name: str, processing_timeout: str) -> str:
    """Returns a policy with which daprd itself delivers an event again until Redis takes over.

    Without a policy, the Redis component of Dapr 1.18 acknowledges an event that the app rejects
    with RETRY, and the event is lost. After the processing timeout the component leaves the event
    to be delivered again.

    With a policy that never gives up, daprd keeps delivering events that a gateway had not
    acknowledged when it ended. After ten such events daprd delivers nothing more.

    Args:
        pubsub_name: Name of the pub/sub component.
        processing_timeout: The component's `processingTimeout` in milliseconds.

    Raises:
        ValueError: `processing_timeout` is not a whole number.
    """
    if not processing_timeout.isdecimal():
        raise ValueError(
            f"processingTimeout is a whole number of milliseconds, got {processing_timeout!r}"
        )
    attempts = int(processing_timeout) // _REDELIVERY_PAUSE + _SPARE_ATTEMPTS
    pause = f"{_REDELIVERY_PAUSE}ms"
    retry = {"policy": "constant", "duration": pause, "maxRetries": attempts}
    targets = {"components": {pubsub_name: {"inbound": {"retry": "redelivery"}}}}
    document = {
        "apiVersion": "dapr.io/v1alpha1",
        "kind": "Resiliency",
        "metadata": {"name": f"{pubsub_name}-redelivery"},
        "spec": {"policies": {"retries": {"redelivery": retry}}, "targets": targets},
    }
    return json.dumps(document, indent=2)


def read_component_names(file: str, app_id: str) -> set[str]:
    """Returns the names of the components in a resource file in JSON that an app may use.

    The result is empty for a file in YAML, and for a file that daprd itself will reject.
    """
    # Errors are suppressed, because such files are left to daprd, which reports its own errors.
    with suppress(ValueError, TypeError, LookupError, AttributeError):
        document = json.loads(file)
        scopes = document.get("scopes")
        if document.get("kind") == "Component" and (not scopes or app_id in scopes):
            return {document["metadata"]["name"]}
    return set()
