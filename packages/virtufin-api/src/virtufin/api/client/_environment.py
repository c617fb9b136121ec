"""Settings from arguments, and from the environment where an argument is not given."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from virtufin.api.client._settings import GRPC_PORT, HOST, SOURCE, TlsSettings
from virtufin.api.client._types import ApiKey, NotGiven
from virtufin.api.client._validation import require_api_key, require_whole, short_repr
from virtufin.api.client.errors import InvalidInputError


def resolve_target(host: str | NotGiven, grpc_port: int | NotGiven) -> str:
    """The gRPC target of an address, from arguments or environment.

    Raises:
        InvalidInputError: Host or port is of the wrong type or cannot be an address.
    """
    if isinstance(host, NotGiven):
        host = os.environ.get("VIRTUFIN_API_HOST") or HOST
    if not isinstance(host, str) or not host or not all(c.isprintable() for c in host):
        raise InvalidInputError(
            f"host must be a name, address or gRPC target, not {short_repr(host)}"
        )
    if " " in host:
        raise InvalidInputError(f"host must be a name, address or gRPC target, not {host!r}")
    if not isinstance(grpc_port, NotGiven):
        require_whole("grpc_port", grpc_port, 1, 65535)
    scheme, colon, rest = host.partition(":")
    if colon and scheme.lower() in _SCHEMES:
        return f"{scheme.lower()}:{rest}"
    if isinstance(grpc_port, NotGiven):
        grpc_port = port_from_environment("VIRTUFIN_API_GRPC_PORT", GRPC_PORT, lowest=1)
    if "://" in host:
        raise InvalidInputError(
            f"host {host!r} looks like a URL; give the name alone, and tls=True for TLS"
        )
    if host.endswith("]") or ":" not in host:
        return f"{host}:{grpc_port}"
    if host.count(":") == 1:
        raise InvalidInputError(
            f"host {host!r} holds a port; give it as grpc_port, or the host as a gRPC target "
            f"such as 'dns:///{host}'"
        )
    return address(host, grpc_port)


_SCHEMES = frozenset(
    {"dns", "ipv4", "ipv6", "unix", "unix-abstract", "passthrough", "vsock", "xds", "memory"}
)


def address(host: str, port: int) -> str:
    """Returns `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def port_from_environment(variable: str, default: int, *, lowest: int) -> int:
    """Returns the port in an environment variable, or `default` if it is not set.

    Raises:
        InvalidInputError: It is no port number from `lowest` on.
    """
    text = os.environ.get(variable)
    if not text:
        return default
    try:
        return require_whole(variable, int(text), lowest, 65535)
    except ValueError:
        raise InvalidInputError(
            f"environment variable {variable} must be a port number, not {text!r}"
        ) from None


def resolve_tls(tls: bool | TlsSettings | NotGiven | None) -> TlsSettings | None:
    """The TLS settings, from the argument or VIRTUFIN_API_TLS (1, true, yes or on)."""
    if isinstance(tls, NotGiven):
        text = os.environ.get("VIRTUFIN_API_TLS", "").strip().lower()
        if text not in {"", "0", "1", "false", "true", "no", "yes", "off", "on"}:
            raise InvalidInputError(
                f"environment variable VIRTUFIN_API_TLS must be true or false, not {text!r}"
            )
        tls = text in {"1", "true", "yes", "on"}
    if isinstance(tls, TlsSettings):
        return tls
    if tls is None or isinstance(tls, bool):
        return TlsSettings() if tls else None
    raise InvalidInputError(f"tls must be True, False or TlsSettings, not {tls!r}")


def resolve_api_key(api_key: ApiKey | NotGiven | None) -> ApiKey | None:
    """The API key, from the argument or VIRTUFIN_API_KEY; its value never shows in an error."""
    if isinstance(api_key, NotGiven):
        api_key = os.environ.get("VIRTUFIN_API_KEY") or None
    if api_key is None or callable(api_key):
        return api_key
    return require_api_key(api_key)


def resolve_metadata(
    metadata: Mapping[str, str | bytes] | None,
) -> tuple[tuple[str, str | bytes], ...]:
    """Headers to send with every call, checked by the rules of gRPC over HTTP/2.

    Raises:
        InvalidInputError: A key or value cannot travel; values are not shown, as they may be
            secrets.
    """
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidInputError(f"metadata must be a mapping, not {short_repr(metadata)}")
    pairs: list[tuple[str, str | bytes]] = []
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not _HEADER.fullmatch(key):
            raise InvalidInputError(
                f"metadata key {short_repr(key)} must be lower-case letters, digits, '-', '_', '.'"
            )
        if key.startswith("grpc-") or key == "x-api-key":
            raise InvalidInputError(
                f"metadata key {key!r} is reserved" + (": use api_key=" if key[0] == "x" else "")
            )
        if isinstance(value, bytes) != key.endswith("-bin") or not isinstance(value, (str, bytes)):
            raise InvalidInputError(
                f"metadata {key!r} must be text, or bytes where the key ends in '-bin'"
            )
        if isinstance(value, str) and not all(" " <= character <= "~" for character in value):
            raise InvalidInputError(
                f"metadata {key!r} must be printable ASCII; other data goes under '{key}-bin'"
            )
        pairs.append((key, value))
    return tuple(pairs)


_HEADER = re.compile(r"[0-9a-z_.-]+")


def resolve_source(source: str | None) -> str:
    """The CloudEvents source of published events, from the argument or VIRTUFIN_API_SOURCE."""
    if source is None:
        return os.environ.get("VIRTUFIN_API_SOURCE") or SOURCE
    try:
        if isinstance(source, str) and source.encode():
            return source
    except UnicodeEncodeError:
        pass
    raise InvalidInputError(f"source must be text, and not empty, not {short_repr(source)}")
