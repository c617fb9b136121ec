"""Resource files of a sidecar, which configure daprd: components and resiliency policies.

The files are written as JSON, which daprd reads as YAML.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

_REDELIVERY_PAUSE = 200
"""Milliseconds between two deliveries of an event."""
# More attempts than fit into the processing timeout, so that daprd gives up only after Redis takes
# over.
_SPARE_ATTEMPTS = 5


def component(
    name: str, kind: str, metadata: Mapping[str, str] | None = None, *, scopes: Sequence[str] = ()
) -> str:
    """Returns a resource file that defines a Dapr component, for `Sidecar(resources=)`.

    Args:
        name: Name of the component in calls, such as `pubsub`.
        kind: Type of the component, such as `pubsub.redis` (see Dapr's component reference).
        metadata: Settings of the component. None means no settings.
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
    """Returns a resource file with a policy for events that an app rejects with RETRY.

    With the policy, daprd delivers such an event again every 200 ms until the processing timeout.
    Then the Redis component takes over and delivers the event again.

    Without a policy, the Redis component of Dapr 1.18 acknowledges the event at the first RETRY,
    and the event is lost. With a policy that never gives up, daprd keeps delivering events that a
    gateway had not acknowledged when it ended; after ten such events daprd delivers nothing more.

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
    """Returns the names of the components that a resource file defines for an app.

    Args:
        file: Text of the file.
        app_id: App-id of the app. Components with scopes count only if these include the app-id.

    Returns:
        The names; empty for a file in YAML, and for a file that daprd will reject.
    """
    # Errors are suppressed, because such files are left to daprd, which reports its own errors.
    with suppress(ValueError, TypeError, LookupError, AttributeError):
        document = json.loads(file)
        scopes = document.get("scopes")
        if document.get("kind") == "Component" and (not scopes or app_id in scopes):
            return {document["metadata"]["name"]}
    return set()
