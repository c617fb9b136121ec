"""Records of published and received events, and the check of what streams promise."""

import asyncio
import contextlib
import itertools
import json

from tests.timing import UNIT
from virtufin.api.client import StreamInterruptedError, VirtufinError

TOPIC = "chaos"


class Publisher:
    """Publishes numbered events; knows which the gateway has accepted."""

    def __init__(self, client, name):
        self.name = name
        self.accepted = set()
        self.client = client
        self._numbers = itertools.count()

    async def reach(self):
        """Returns when the gateway answers."""
        await self.client.connect(timeout=10 * UNIT)

    async def publish(self, data=""):
        """Publishes one more event and returns its number; one that fails may have arrived."""
        number = next(self._numbers)
        payload = json.dumps([self.name, number, data])
        await self.client.pubsub.publish_async(TOPIC, payload, timeout=5 * UNIT)
        self.accepted.add(number)
        return number

    async def publish_on(self, pause):
        """Publishes without end, also while the gateway is away."""
        while True:
            with contextlib.suppress(VirtufinError):
                await self.publish()
            await asyncio.sleep(pause)


class Consumer:
    """A handler that notes events and errors in the order they come, and can be held back."""

    def __init__(self):
        self.notes = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.lingers = 0.0
        self.cancelled = asyncio.Event()

    async def on_event(self, event):
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            await asyncio.sleep(self.lingers)
            raise
        self.note(event)

    def on_error(self, error):
        self.notes.append(error)

    def note(self, event):
        """Notes an event, or the report of a gap."""
        name, number, _ = json.loads(event.data)
        self.notes.append((name, number))

    @property
    def events(self):
        return [note for note in self.notes if isinstance(note, tuple)]

    @property
    def gaps(self):
        return [note for note in self.notes if isinstance(note, StreamInterruptedError)]

    @property
    def failures(self):
        return [
            note for note in self.notes if not isinstance(note, (tuple, StreamInterruptedError))
        ]


def check(consumer, publishers, *, unreported_gaps=0):
    """Asserts that nothing is doubled or reordered, and missing only where a gap was reported.

    Args:
        consumer: What has come.
        publishers: Who has published.
        unreported_gaps: Number of places at which events may be missing without a report, because
            a gateway has dropped a stream without notice.
    """
    for publisher in publishers:
        last, reported, unreported = None, False, 0
        for note in consumer.notes:
            if isinstance(note, StreamInterruptedError):
                reported = True
            elif isinstance(note, tuple) and note[0] == publisher.name:
                number = note[1]
                if last is not None:
                    assert number > last, f"{note} came after {last}"
                    missing = publisher.accepted.intersection(range(last + 1, number))
                    if missing and not reported:
                        unreported += 1
                        assert unreported <= unreported_gaps, (
                            f"{missing} of {publisher.name} are lost"
                        )
                last, reported = number, False
