"""CloudEvents of the gateway and the sample backends themselves."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from virtufin.api.protos.cloudevents_pb2 import CloudEvent


def json_event(*, source: str, kind: str, subject: str, data: Mapping[str, Any]) -> bytes:
    """A serialized CloudEvent of now with a JSON payload.

    Args:
        source: Short name of the service, `api` for `urn:com.virtufin.api`.
        kind: The last parts of its type, `state.change` for `com.virtufin.api.state.change`.
        subject: `<entity_type>/<id>`.
        data: The payload.
    """
    event = CloudEvent(
        id=str(uuid.uuid4()),
        source=f"urn:com.virtufin.{source}",
        spec_version="1.0",
        type=f"com.virtufin.{source}.{kind}",
        text_data=json.dumps(data),
    )
    event.attributes["time"].ce_timestamp.FromDatetime(datetime.now(timezone.utc))
    event.attributes["datacontenttype"].ce_string = "application/json"
    event.attributes["subject"].ce_string = subject
    return event.SerializeToString()
