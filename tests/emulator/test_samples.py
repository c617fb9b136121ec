"""The bundled backends, called through the gateway as users do."""

import json

import pytest

from virtufin.api.emulator import Service
from virtufin.api.protos import pubsub_pb2


@pytest.fixture
def call(stubs, invoke_json):
    def caller(service):
        async def invoke(method, **document):
            response = await invoke_json(stubs, service, method, json.dumps(document))
            if not response.success:
                return response.status
            return json.loads(response.response_data)

        return invoke

    return caller


@pytest.fixture
def work(call):
    return call("workmanager")


@pytest.fixture
def sockets(call):
    return call("websocketmanager")


async def test_there_is_one_running_worker_with_every_field_set(work):
    (worker,) = (await work("ListWorkers"))["workers"]
    assert set(worker) == {
        "id",
        "mimeType",
        "language",
        "topics",
        "createdAt",
        "status",
        "config",
        "tags",
    }
    assert worker["status"] == "WORKER_STATUS_RUNNING"


async def create(work, **more):
    source = {"url": "https://example.com/worker.py"}
    created = await work("CreateWorker", code_source=source, mime_type="text/x-python", **more)
    return created["id"]


async def worker(work, worker_id):
    (found,) = [one for one in (await work("ListWorkers"))["workers"] if one["id"] == worker_id]
    return found


async def test_creating_does_not_start(work):
    worker_id = await create(work, topics=["a"], config={"k": "v"}, tags={"t": "1"})
    found = await worker(work, worker_id)
    assert found["status"] == "WORKER_STATUS_STOPPED"
    assert (found["language"], found["topics"]) == ("python", ["a"])
    assert (found["config"], found["tags"]) == ({"k": "v"}, {"t": "1"})


async def test_the_earlier_topic_and_group_are_taken(work):
    worker_id = await create(work, topic="a", group="g")
    assert (await worker(work, worker_id))["topics"] == ["a"]
    worker_id = await create(work, topic="a", topics=["a", "b"])
    assert (await worker(work, worker_id))["topics"] == ["a", "b"]


async def test_ids_are_unique(work):
    assert len({await create(work) for _ in range(10)}) == 10


async def test_starting_and_stopping_are_idempotent(work):
    worker_id = await create(work)
    for method, status in (("StartWorker", "RUNNING"), ("StopWorker", "STOPPED")):
        for _ in range(2):
            assert await work(method, id=worker_id) == {}
            assert (await worker(work, worker_id))["status"] == f"WORKER_STATUS_{status}"


async def test_a_deleted_worker_is_gone(work):
    worker_id = await create(work)
    assert await work("DeleteWorker", id=worker_id) == {}
    assert await work("DeleteWorker", id=worker_id) == "NOT_FOUND"


@pytest.mark.parametrize(
    "method",
    ["StartWorker", "StopWorker", "DeleteWorker", "SetTag", "GetTag", "SetTags", "GetTags"],
)
async def test_an_unknown_worker_is_not_found(work, method):
    assert await work(method, id="x") == "NOT_FOUND"


async def test_workers_are_found_by_tags(work):
    await create(work, tags={"team": "a", "stage": "test"})
    await create(work, tags={"team": "b"})

    async def count(*filters):
        return len((await work("ListWorkers", filters=filters)).get("workers", []))

    assert await count({"key": "team"}) == 2
    assert await count({"key": "team", "value": "a"}) == 1
    assert await count({"key": "team"}, {"key": "stage", "value": "test"}) == 1
    assert await count({"key": "none"}) == 0


async def test_tags_are_set_and_read(work):
    worker_id = await create(work)
    await work("SetTag", id=worker_id, key="a", value="1")
    await work("SetTags", id=worker_id, tags={"b": "2"})
    assert await work("GetTag", id=worker_id, key="a") == {"value": "1"}
    assert await work("GetTags", id=worker_id) == {"tags": {"a": "1", "b": "2"}}
    assert await work("GetTag", id=worker_id, key="c") == "NOT_FOUND"


@pytest.mark.parametrize(
    "tags",
    [{str(n): "" for n in range(51)}, {"k" * 129: ""}, {"k": "v" * 1025}, {"": "v"}],
)
async def test_tags_beyond_the_limits_are_refused(work, sockets, tags):
    assert await work("CreateWorker", tags=tags) == "INVALID_REQUEST"
    assert await sockets("Connect", url="ws://x", tags=tags) == "INVALID_REQUEST"
    worker_id = await create(work)
    assert await work("SetTags", id=worker_id, tags=tags) == "INVALID_REQUEST"
    assert await work("GetTags", id=worker_id) == {}


async def test_tags_at_the_limits_are_taken(work):
    tags = {str(n): "" for n in range(49)} | {"k" * 128: "v" * 1024}
    worker_id = await create(work, tags=tags)
    assert await work("SetTag", id=worker_id, key="0", value="again") == {}
    assert await work("SetTag", id=worker_id, key="another", value="") == "INVALID_REQUEST"


async def test_a_worker_s_life_is_published(stubs, work):
    stream = stubs.pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["workmanager.lifecycle"]))
    await stream.initial_metadata()
    worker_id = await create(work)
    for method in ("StartWorker", "StartWorker", "StopWorker", "DeleteWorker"):
        await work(method, id=worker_id)
    events = [(await stream.read()).cloudevent for _ in range(4)]
    assert [event.type.rpartition(".")[2] for event in events] == [
        "created",
        "started",
        "stopped",
        "deleted",
    ]
    assert {event.source for event in events} == {"urn:com.virtufin.workmanager"}
    assert {event.attributes["subject"].ce_string for event in events} == {f"worker/{worker_id}"}


async def test_there_is_one_connection_with_every_field_set(sockets):
    (connection,) = (await sockets("List"))["connections"]
    assert set(connection) == {
        "id",
        "url",
        "status",
        "topic",
        "instanceId",
        "contentType",
        "tags",
    }


async def connect(sockets, **more):
    answer = await sockets("Connect", url="wss://example.com", auto_reconnect=True, **more)
    assert answer["status"] == "connected"
    return answer["id"]


async def test_a_connection_can_be_made_and_ended(sockets):
    connection_id = await connect(sockets, tags={"mine": "1"})
    filters = [{"key": "mine"}]
    (found,) = (await sockets("List", filters=filters))["connections"]
    assert (found["id"], found["url"]) == (connection_id, "wss://example.com")
    assert await sockets("Disconnect", id=connection_id) == {}
    assert await sockets("List", filters=filters) == {}


async def test_a_connection_is_given_a_topic_to_publish_on(sockets):
    connection_id = await connect(sockets, tags={"mine": "1"})
    await sockets("StartPublish", id=connection_id, topic="t")
    filters = [{"key": "mine"}]
    assert (await sockets("List", filters=filters))["connections"][0]["topic"] == "t"
    await sockets("StopPublish", id=connection_id)
    assert "topic" not in (await sockets("List", filters=filters))["connections"][0]


async def test_a_sent_message_comes_back(sockets):
    connection_id = await connect(sockets)
    assert await sockets("Send", id=connection_id, message="AP8=") == {"response": "AP8="}
    assert await sockets("SendRaw", id=connection_id, message="AP8=") == {}


@pytest.mark.parametrize("method", ["Disconnect", "StartPublish", "StopPublish", "Send", "SendRaw"])
async def test_an_unknown_connection_is_not_found(sockets, method):
    assert await sockets(method, id="x") == "NOT_FOUND"


async def test_a_sample_can_have_another_name(start, stubs_of, invoke_json):
    stubs = stubs_of(await start(services=[Service("work2", "sample:workmanager")]))
    assert (await invoke_json(stubs, "work2", "ListWorkers")).success
