"""Identifiers of events and requests."""

import os
import threading
import uuid

import pytest

from virtufin.api.client.events import to_cloudevent

MANY = 1000


def identifiers(count=MANY):
    return [to_cloudevent("x").id for _ in range(count)]


def test_an_identifier_is_a_random_uuid():
    for text in identifiers():
        identifier = uuid.UUID(text)
        assert (str(identifier), identifier.version) == (text, 4)
        assert identifier.variant == uuid.RFC_4122


def test_no_identifier_comes_twice_though_threads_make_them_at_once():
    made = []
    threads = [threading.Thread(target=lambda: made.extend(identifiers())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 4 * MANY


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_makes_other_identifiers():
    before = to_cloudevent("x").id
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, to_cloudevent("x").id.encode())
        os._exit(0)
    os.waitpid(child, 0)
    of_child = os.read(reading, 100).decode()
    assert of_child not in {before, *identifiers()}
    assert uuid.UUID(of_child)
