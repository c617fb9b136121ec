"""Waits between attempts."""

from itertools import islice

from virtufin.api.client._backoff import delays


def test_delays_grow_to_the_cap():
    assert list(islice(delays(1, 5, 2, 0), 5)) == [1, 2, 4, 5, 5]


def test_jitter_shortens_a_delay_by_its_part_at_most():
    for wait in islice(delays(10, 10, 1, 0.3), 200):
        assert 7 <= wait <= 10


def test_jittered_delays_differ():
    assert len(set(islice(delays(10, 10, 1, 0.3), 50))) > 40
