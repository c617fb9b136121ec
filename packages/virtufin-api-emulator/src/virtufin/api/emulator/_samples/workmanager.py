"""The sample backend WorkManager: keeps a list of workers, and runs none of them."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from typing import Any

import grpc

from virtufin.api.emulator._samples import workmanager_pb2 as pb
from virtufin.api.emulator._samples._tags import matches_filters, require_valid_tags
from virtufin.api.emulator._status_errors import StatusError

_LANGUAGES = {
    "text/x-python": "python",
    "text/javascript": "javascript",
    "application/javascript": "javascript",
    "text/x-csharp": "csharp",
}


class WorkManager:
    """The methods of the service virtufin.WorkManager."""

    FILE = pb.DESCRIPTOR
    SOURCE = "workmanager"

    def __init__(self, announce: Callable[[str, str, dict[str, str]], Awaitable[None]]) -> None:
        """Does no I/O.

        Args:
            announce: Function that publishes an event about a worker, called with subject, end of
                the event type, and payload.
        """
        self._announce = announce
        self._workers: dict[str, pb.WorkerInfo] = {}
        self.reset()

    def reset(self) -> None:
        """Resets the list of workers to one worker with the status running."""
        # With every field set, so that examples which print a worker show something everywhere.
        self._workers.clear()
        self._add(
            mime_type="text/x-python",
            topics=["worker-commands"],
            status=pb.WORKER_STATUS_RUNNING,
            config={"interval": "5"},
            tags={"sample": "true"},
        )

    async def create_worker(self, request: Any, context: Any) -> Any:
        require_valid_tags(request.tags)
        topics = list(request.topics)
        # Both fields, because documented examples send the single `topic`.
        if request.topic and request.topic not in topics:
            topics.append(request.topic)
        worker = self._add(
            mime_type=request.mime_type,
            topics=topics,
            status=pb.WORKER_STATUS_STOPPED,
            config=request.config,
            tags=request.tags,
        )
        await self._announce_change(worker, "created")
        return pb.CreateWorkerResponse(id=worker.id)

    async def start_worker(self, request: Any, context: Any) -> Any:
        await self._set_status(request.id, pb.WORKER_STATUS_RUNNING, "started")
        return pb.StartWorkerResponse()

    async def stop_worker(self, request: Any, context: Any) -> Any:
        await self._set_status(request.id, pb.WORKER_STATUS_STOPPED, "stopped")
        return pb.StopWorkerResponse()

    async def delete_worker(self, request: Any, context: Any) -> Any:
        worker = self._get_worker(request.id)
        del self._workers[request.id]
        await self._announce_change(worker, "deleted")
        return pb.DeleteWorkerResponse()

    async def list_workers(self, request: Any, context: Any) -> Any:
        found = [
            one for one in self._workers.values() if matches_filters(one.tags, request.filters)
        ]
        return pb.ListWorkersResponse(workers=found)

    async def set_tag(self, request: Any, context: Any) -> Any:
        self._tag(self._get_worker(request.id), {request.key: request.value})
        return pb.SetTagResponse()

    async def get_tag(self, request: Any, context: Any) -> Any:
        tags = self._get_worker(request.id).tags
        if request.key not in tags:
            raise StatusError(
                grpc.StatusCode.NOT_FOUND, f"worker {request.id!r} has no tag {request.key!r}"
            )
        return pb.GetTagResponse(value=tags[request.key])

    async def set_tags(self, request: Any, context: Any) -> Any:
        self._tag(self._get_worker(request.id), dict(request.tags))
        return pb.SetTagsResponse()

    async def get_tags(self, request: Any, context: Any) -> Any:
        return pb.GetTagsResponse(tags=self._get_worker(request.id).tags)

    def _add(self, *, mime_type: str, **fields: Any) -> pb.WorkerInfo:
        worker = pb.WorkerInfo(
            id=str(uuid.uuid4()),
            mime_type=mime_type,
            language=_LANGUAGES.get(mime_type, mime_type.rpartition("/")[2]),
            created_at=datetime.now(timezone.utc).isoformat(),
            **fields,
        )
        self._workers[worker.id] = worker
        return worker

    def _get_worker(self, worker_id: str) -> pb.WorkerInfo:
        try:
            return self._workers[worker_id]
        except KeyError:
            raise StatusError(grpc.StatusCode.NOT_FOUND, f"no worker {worker_id!r}") from None

    def _tag(self, worker: pb.WorkerInfo, tags: dict[str, str]) -> None:
        # Checked together, because the limit counts the tags that the worker already has.
        require_valid_tags({**worker.tags, **tags})
        worker.tags.update(tags)

    async def _set_status(
        self, worker_id: str, status: pb.WorkerStatus.ValueType, what: str
    ) -> None:
        worker = self._get_worker(worker_id)
        # No event without a change, because starting a running worker changes nothing.
        if worker.status != status:
            worker.status = status
            await self._announce_change(worker, what)

    async def _announce_change(self, worker: pb.WorkerInfo, what: str) -> None:
        await self._announce(f"worker/{worker.id}", f"worker.{what}", {"id": worker.id})
