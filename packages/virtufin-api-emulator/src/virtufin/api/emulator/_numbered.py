"""Plans in force here that another process knows by number."""

from __future__ import annotations

from virtufin.api.emulator._plans import LocalPlan, Plan

_REMEMBERED = 10_000


class NumberedPlans:
    """Gives plans numbers. Of those that are over it keeps what they have used, for a while."""

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._remembered = remembered
        self._last = 0
        self._plans: dict[int, LocalPlan] = {}
        self._past: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._plans) + len(self._past)

    def add(self, plan: Plan) -> int:
        """The number of a plan that has just been made."""
        assert isinstance(plan, LocalPlan)
        self._forget()
        self._last += 1
        self._plans[self._last] = plan
        return self._last

    def used(self, plan: int) -> int:
        """What the plan has taken hold of.

        Raises:
            ValueError: There was no such plan, or it was over long ago.
        """
        if plan in self._plans:
            return self._plans[plan].used
        if plan not in self._past:
            raise self._unknown(plan)
        return self._past[plan]

    def lift(self, plan: int) -> None:
        """Lifts the plan.

        Raises:
            ValueError: There was no such plan.
        """
        if plan in self._plans:
            self._plans[plan].lift()
        elif not (isinstance(plan, int) and 0 < plan <= self._last):
            raise self._unknown(plan)

    def _forget(self) -> None:
        for number in [number for number, plan in self._plans.items() if plan.over]:
            self._past[number] = self._plans.pop(number).used
        for number in list(self._past)[: -self._remembered]:
            del self._past[number]

    def _unknown(self, number: int) -> ValueError:
        return ValueError(f"no plan {number!r}")
