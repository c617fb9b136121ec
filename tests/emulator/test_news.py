"""The filter of a broker's deliveries: no repeats, and no events from before the gateway."""

from datetime import datetime, timedelta, timezone

import pytest

from virtufin.api.client.events import to_cloudevent

# Private, because these moments cannot be chosen from outside: the filter takes the time.
from virtufin.api.emulator._backends.event_filter import CATCHING_UP, REMEMBERED, DeliveryFilter

STARTED = datetime(2026, 1, 31, 12, 0, 0, 500_000, tzinfo=timezone.utc)


def event(seconds=0.0, number=None):
    moment = (STARTED + timedelta(seconds=seconds)).isoformat()
    attributes = {"ce-time": moment, **({} if number is None else {"ce-id": str(number)})}
    return to_cloudevent("x", attributes)


@pytest.fixture
def news():
    news = DeliveryFilter(started=STARTED, keep_history=False)
    news.start_catch_up(0.0)
    return news


def test_an_event_from_before_the_start_is_history(news):
    assert not news.accepts(event(-0.001), now=0.0)
    assert news.accepts(event(0), now=0.0)


def test_a_time_in_whole_seconds_may_be_that_of_the_start(news):
    assert not news.accepts(event(-1.5), now=0.0)
    assert news.accepts(event(-0.5), now=0.0)


def test_after_the_first_new_event_old_times_are_accepted_too(news):
    assert news.accepts(event(1), now=0.0)
    assert news.accepts(event(-3600), now=0.0)


def test_after_a_while_old_times_are_accepted_too(news):
    assert not news.accepts(event(-1), now=CATCHING_UP)
    assert news.accepts(event(-1), now=CATCHING_UP + 0.001)
    assert news.accepts(event(-1), now=0.0)


def test_an_event_without_a_time_is_accepted(news):
    timeless = event()
    del timeless.attributes["time"]
    assert news.accepts(timeless, now=0.0)
    unreadable = event()
    unreadable.attributes["time"].ce_string = "yesterday"
    assert news.accepts(unreadable, now=0.0)
    assert not news.accepts(event(-1), now=0.0)


def test_history_is_accepted_on_request():
    news = DeliveryFilter(started=STARTED, keep_history=True)
    news.start_catch_up(0.0)
    assert news.accepts(event(-1), now=0.0)


def test_a_repeat_is_not_accepted(news):
    assert news.accepts(event(1, number=1), now=0.0)
    assert not news.accepts(event(1, number=1), now=0.0)
    other = event(1, number=1)
    other.source = "urn:other"
    assert news.accepts(other, now=0.0)


def test_events_without_an_id_are_no_repeats(news):
    for _ in range(2):
        nameless = event(1)
        nameless.id = ""
        assert news.accepts(nameless, now=0.0)


def test_a_repeat_of_history_is_none_either(news):
    assert not news.accepts(event(-1, number=1), now=0.0)
    assert news.accepts(event(1), now=0.0)
    assert not news.accepts(event(-1, number=1), now=0.0)


def test_only_the_latest_events_are_remembered(news):
    for number in range(REMEMBERED + 1):
        assert news.accepts(event(1, number=number), now=0.0)
    assert not news.accepts(event(1, number=REMEMBERED), now=0.0)
    assert news.accepts(event(1, number=0), now=0.0)
