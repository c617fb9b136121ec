"""A fault of the network in force in this process."""

from __future__ import annotations

from collections.abc import Callable

from virtufin.api.emulator._link import Link
from virtufin.api.emulator._plans import LocalPlan


class NetworkPlan(LocalPlan):
    """A freeze or a refusal in force."""

    def __init__(
        self, plans: set[NetworkPlan], on_lift: Callable[[], None], *, new: bool = False
    ) -> None:
        self.new = new
        self._plans = plans
        self._on_lift = on_lift
        self._links: set[Link] = set()
        self._used = 0
        plans.add(self)

    @property
    def used(self) -> int:
        return self._used

    @property
    def over(self) -> bool:
        return self not in self._plans

    def take(self, link: Link) -> None:
        """Freezes a link."""
        self._links.add(link)
        self._used += 1
        link.freeze()

    def gone(self, link: Link) -> None:
        """Lets go of a link that has ended."""
        self._links.discard(link)

    def has(self, link: Link) -> bool:
        """Whether it holds the link."""
        return link in self._links

    def lift(self) -> None:
        if self in self._plans:
            self._plans.discard(self)
            self._links.clear()
            self._on_lift()
