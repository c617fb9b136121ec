"""Numbers that an invocation policy refuses."""

import dataclasses

import pytest

from virtufin.api.emulator import InvocationPolicy

NAMES = [field.name for field in dataclasses.fields(InvocationPolicy)]
COUNTS = ["retries", "circuit_failures"]
TIMES = [name for name in NAMES if name not in COUNTS]
ABOVE_ZERO = ["call_limit", "reflection_timeout", "circuit_failures"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["1", None, True, b"1", [1]])
def test_only_numbers_are_taken(name, value):
    with pytest.raises(TypeError, match=f"{name} is a .*number"):
        InvocationPolicy(**{name: value})


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_whole_numbers(name):
    with pytest.raises(TypeError, match=f"{name} is a whole number, got 1.5"):
        InvocationPolicy(**{name: 1.5})


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_negative(name):
    with pytest.raises(ValueError, match=f"{name} is a .*number .*, got -1"):
        InvocationPolicy(**{name: -1})


@pytest.mark.parametrize("name", ABOVE_ZERO)
def test_settings_that_must_be_above_zero_refuse_zero(name):
    with pytest.raises(ValueError, match=f"{name} is a .*number .*, got 0"):
        InvocationPolicy(**{name: 0})


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ABOVE_ZERO])
def test_the_rest_may_be_zero(name):
    assert getattr(InvocationPolicy(**{name: 0}), name) == 0


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, 1e9])
def test_times_end_at_ten_years(name, value):
    with pytest.raises(ValueError, match=f"{name} is a number of seconds .* up to 315360000"):
        InvocationPolicy(**{name: value})
