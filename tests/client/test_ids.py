"""Identifiers of events and requests."""

import os
import subprocess
import sys
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


FORK = """
import os
from virtufin.api.client.events import to_cloudevent
to_cloudevent("x")
child = os.fork()
os.write(1, to_cloudevent("x").id.encode() + b"\\n")
if not child:
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_makes_other_identifiers():
    # In a process of its own, because this one may have threads, which no fork should meet.
    run = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    of_both = run.stdout.split()
    assert len(set(of_both)) == len(of_both) == 2
