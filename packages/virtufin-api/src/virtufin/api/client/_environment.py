"""Settings from the arguments of a client; environment variables are the defaults."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from virtufin.api.client._settings import GRPC_PORT, HOST, SOURCE, TlsSettings
from virtufin.api.client._types import ApiKey, NotGiven
from virtufin.api.client._validation import require_api_key, require_whole, short_repr
from virtufin.api.client.errors import InvalidInputError


def resolve_target(host: str | NotGiven, grpc_port: int | NotGiven) -> str:
    """Returns the gRPC target for a host and a port.

    Args:
        host: Name, address or gRPC target. If not given, the environment variable
            VIRTUFIN_API_HOST; if that is not set either, `localhost`.
        grpc_port: Port. If not given, the environment variable VIRTUFIN_API_GRPC_PORT; if that is
            not set either, 5002. A `host` that is a gRPC target is returned without this port.

    Raises:
        InvalidInputError: Host or port has the wrong type or cannot be an address.
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
    # A gRPC target is passed on as given, because it has its own ports and may have several
    # addresses. The port in the environment is not even read.
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


# Listed, because the colon alone does not make a target: `name:5002` is a host with a port.
_SCHEMES = frozenset(
    {"dns", "ipv4", "ipv6", "unix", "unix-abstract", "passthrough", "vsock", "xds", "memory"}
)


def address(host: str, port: int) -> str:
    """Returns `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def port_from_environment(variable: str, default: int, *, lowest: int) -> int:
    """Returns the port in an environment variable, or `default` if the variable is not set.

    Args:
        variable: Name of the environment variable.
        default: Port if the variable is not set or empty.
        lowest: Smallest accepted port number; 0 accepts "any free port".

    Raises:
        InvalidInputError: The text is not a port number between `lowest` and 65535.
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
    """Returns the TLS settings, or None for a connection without TLS.

    Args:
        tls: Settings, True for default settings, or False or None for no TLS. If not given, the
            environment variable VIRTUFIN_API_TLS; 1, true, yes and on switch TLS on.

    Raises:
        InvalidInputError: The argument or the variable has no valid value.
    """
    if isinstance(tls, NotGiven):
        text = os.environ.get("VIRTUFIN_API_TLS", "").strip().lower()
        # Any other text is an error, because a typo must not switch TLS off silently.
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
    """Returns the API key or the function that provides it; None means no key.

    Errors never show the key.

    Args:
        api_key: Key, function or None. If not given, the environment variable VIRTUFIN_API_KEY.

    Raises:
        InvalidInputError: The key cannot be sent in a header.
    """
    if isinstance(api_key, NotGiven):
        api_key = os.environ.get("VIRTUFIN_API_KEY") or None
    if api_key is None or callable(api_key):
        return api_key
    return require_api_key(api_key)


def resolve_metadata(
    metadata: Mapping[str, str | bytes] | None,
) -> tuple[tuple[str, str | bytes], ...]:
    """Returns the headers to send with every call, checked by the rules of gRPC over HTTP/2.

    Args:
        metadata: Headers by name; None means no headers.

    Raises:
        InvalidInputError: A name or value cannot be sent. Values are not shown, because they may be
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
        # The prefix is reserved by gRPC, and a second API key would contradict `api_key=`.
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
    """Returns the CloudEvents source of published events.

    Args:
        source: The source. None means the environment variable VIRTUFIN_API_SOURCE; if that is not
            set, `urn:com.virtufin.client`.

    Raises:
        InvalidInputError: The source is not text, is empty, or is not valid Unicode.
    """
    if source is None:
        return os.environ.get("VIRTUFIN_API_SOURCE") or SOURCE
    try:
        if isinstance(source, str) and source.encode():
            return source
    # Raised below, because the error is the same as for any other value that is not text.
    except UnicodeEncodeError:
        pass
    raise InvalidInputError(f"source must be text, and not empty, not {short_repr(source)}")
