"""What a backend offers, for people: methods, and the shapes of their messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = [
    "EnumDescription",
    "FieldDescription",
    "MessageDescription",
    "MethodDescription",
    "ServiceDescription",
]


@dataclass(frozen=True)
class FieldDescription:
    """One field of a message."""

    name: str
    """Its proto name, under which replies have it."""
    type: str
    """Such as `string`, `repeated TagFilter`, `map<string, string>`, `optional int32`."""
    oneof: str = ""
    """The oneof it belongs to; at most one member of it is set."""

    def __str__(self) -> str:
        return f"{self.name}: {self.type}" + (f"  (one of {self.oneof})" if self.oneof else "")


@dataclass(frozen=True)
class MessageDescription:
    """A message that requests or replies hold."""

    name: str
    """Full name, such as `virtufin.WorkerInfo`."""
    fields: tuple[FieldDescription, ...]

    def __str__(self) -> str:
        fields = [f"  {field}" for field in self.fields] or ["  (no fields)"]
        return "\n".join([self.name, *fields])


@dataclass(frozen=True)
class EnumDescription:
    """An enum that messages hold."""

    name: str
    """Full name."""
    values: tuple[str, ...]
    """Names of its values; replies have these."""

    def __str__(self) -> str:
        return "\n".join([self.name, *(f"  {value}" for value in self.values)])


@dataclass(frozen=True)
class MethodDescription:
    """A method of a backend."""

    name: str
    full_name: str
    """With its gRPC service, `virtufin.WorkManager.ListWorkers`."""
    request: str
    """Full name of the message it takes."""
    response: str
    """Full name of the message it answers."""
    callable: bool = True
    """Whether the gateway can call it: neither side streams."""

    def __str__(self) -> str:
        streams = "" if self.callable else "  (streams; the gateway calls unary methods only)"
        request, response = _short(self.request), _short(self.response)
        return f"{self.name}({request}) -> {response}{streams}"


@dataclass(frozen=True)
class ServiceDescription:
    """A backend. `print` it for a readable text."""

    name: str
    """Its registered name."""
    methods: tuple[MethodDescription, ...]
    messages: dict[str, MessageDescription]
    """By full name: all that requests and replies hold, as far as they are known."""
    enums: dict[str, EnumDescription]
    """By full name."""

    def method(self, name: str) -> MethodDescription:
        """A method by its short name.

        Raises:
            KeyError: There is none.
        """
        for method in self.methods:
            if method.name == name:
                return method
        raise KeyError(name)

    def __str__(self) -> str:
        return "\n\n".join(self._paragraphs())

    def _paragraphs(self) -> Iterator[str]:
        yield "\n".join([self.name, *(f"  {method}" for method in self.methods)])
        yield from map(str, self.messages.values())
        yield from map(str, self.enums.values())


def _short(name: str) -> str:
    return name.rpartition(".")[2]
