"""Readable descriptions of backends: methods, and the fields of their messages."""

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
    """A field of a message."""

    name: str
    """The proto name of the field, which is the key in replies."""
    type: str
    """The type, such as `repeated TagFilter`, `map<string, string>` or `optional int32`."""
    oneof: str = ""
    """The name of the oneof that the field belongs to; empty if it belongs to none.

    At most one field of a oneof is set.
    """

    def __str__(self) -> str:
        return f"{self.name}: {self.type}" + (f"  (one of {self.oneof})" if self.oneof else "")


@dataclass(frozen=True)
class MessageDescription:
    """A message in requests or replies."""

    name: str
    """The full name, such as `virtufin.WorkerInfo`."""
    fields: tuple[FieldDescription, ...]

    def __str__(self) -> str:
        # A line is printed for a message without fields too, because a name alone would look like
        # a message whose fields are not known.
        fields = [f"  {field}" for field in self.fields] or ["  (no fields)"]
        return "\n".join([self.name, *fields])


@dataclass(frozen=True)
class EnumDescription:
    """An enum in messages."""

    name: str
    """The full name."""
    values: tuple[str, ...]
    """The names of the values, as in replies."""

    def __str__(self) -> str:
        return "\n".join([self.name, *(f"  {value}" for value in self.values)])


@dataclass(frozen=True)
class MethodDescription:
    """A method of a backend."""

    name: str
    full_name: str
    """The name with the gRPC service, such as `virtufin.WorkManager.ListWorkers`."""
    request: str
    """The full name of the request message."""
    response: str
    """The full name of the response message."""
    # A flag, because the gateway calls unary methods only, but people need to see all methods.
    callable: bool = True
    """True if the gateway can call the method, because neither side streams."""

    def __str__(self) -> str:
        # Printed, because a call of such a method through the gateway fails.
        streams = "" if self.callable else "  (streams; the gateway calls unary methods only)"
        request, response = _short(self.request), _short(self.response)
        return f"{self.name}({request}) -> {response}{streams}"


@dataclass(frozen=True)
class ServiceDescription:
    """A backend with its methods and messages. Use `print` for a readable text."""

    name: str
    """The registered name."""
    methods: tuple[MethodDescription, ...]
    messages: dict[str, MessageDescription]
    """The messages of requests and replies, by full name.

    Nested messages are included only if the gateway's reflection service describes the backend.
    """
    enums: dict[str, EnumDescription]
    """The enums in requests and replies, by full name.

    Empty if the gateway's reflection service does not describe the backend.
    """

    def method(self, name: str) -> MethodDescription:
        """Returns a method by its short name.

        Raises:
            KeyError: The backend has no such method.
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
    # Without the package, because full names would make the lines of methods hard to read.
    return name.rpartition(".")[2]
