"""Resource files of a sidecar: policies to write, and what is in those of others."""

from __future__ import annotations

import json
from contextlib import suppress

_REDELIVERY_PAUSE = 200
"""Milliseconds."""
_SPARE_ATTEMPTS = 5


def redelivery(pubsub_name: str, processing_timeout: str) -> str:
    """A policy by which daprd itself delivers an event again, until Redis does.

    Without one the Redis component of Dapr 1.18 acknowledges an event that the app asks for again,
    so that it is lost; after the processing timeout it leaves it to be delivered again. With one
    that never gives up, daprd goes on for ever with what a gateway had not acknowledged when it
    ended, and after ten such events delivers nothing more.
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


def component_names(file: str, app_id: str) -> set[str]:
    """Names of the components that a resource file in JSON has for an app.

    Files in YAML pass, and what daprd itself is to refuse.
    """
    with suppress(ValueError, TypeError, LookupError, AttributeError):
        document = json.loads(file)
        scopes = document.get("scopes")
        if document.get("kind") == "Component" and (not scopes or app_id in scopes):
            return {document["metadata"]["name"]}
    return set()
