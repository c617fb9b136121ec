"""The checks that a client makes to diagnose its gateway."""

from __future__ import annotations

import asyncio
import platform
import time
import uuid

import google.protobuf
import grpc

from virtufin.api.client._gateway import GatewayClient
from virtufin.api.client._protobuf import Difference, ReflectionUnsupportedError
from virtufin.api.client._pubsub import PubsubClient
from virtufin.api.client._transport import Health, check_health
from virtufin.api.client._version import __version__
from virtufin.api.client._wire import Discovery, Rpc
from virtufin.api.client.diagnosis import Check, Outcome, Report
from virtufin.api.client.errors import (
    ClientClosedError,
    DeadlineExceededError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedError,
    VirtufinError,
)

TOPIC = "virtufin.doctor"
"""Default topic of the event that a diagnosis publishes to see whether it comes back."""

_NOBODY = "no gateway answers"
# Recognised by words, because gRPC reports all these failures as UNAVAILABLE. Specific words come
# first, because the first match wins and texts about certificates may mention TLS too.
_REFUSED_WAYS = (
    ("refused", "nothing listens there: is the gateway running, and is it this port?"),
    ("certificate_verify_failed", "the certificate is not trusted: TlsSettings(ca=...)"),
    ("hostname", "the certificate is of another name: TlsSettings(server_name=...)"),
    ("peer name", "the certificate is of another name: TlsSettings(server_name=...)"),
    ("http1", "that is no native gRPC port: the gateway's is 5002, REST is on another"),
    ("ssl", "TLS does not fit: see tls= and TlsSettings, or whether the gateway has TLS at all"),
    ("tls", "TLS does not fit: see tls= and TlsSettings, or whether the gateway has TLS at all"),
    ("handshake", "TLS does not fit: see tls= and TlsSettings"),
    ("dns", "the name is not known: is it spelled right?"),
    ("name resolution", "the name is not known: is it spelled right?"),
    ("domain name", "the name is not known: is it spelled right?"),
    ("socket closed", "it hangs up: it may want TLS (tls=True), or be something else"),
    ("reset", "it hangs up: it may want TLS (tls=True), or be something else"),
)
# Methods that a gateway may lack without harm, because the client has a replacement for each.
_WITH_FALLBACK = {
    "virtufin.State.RegisterKeys": "the client remembers registered keys itself",
    "virtufin.State.GetAllState": "the client reads the keys registered with it",
    "virtufin.Pubsub.Unsubscribe": "subscriptions end by cancelling",
}


class Diagnosis:
    """A run of all checks against a gateway."""

    def __init__(
        self,
        rpc: Rpc,
        discovery: Discovery | None,
        gateway: GatewayClient,
        pubsub: PubsubClient,
        *,
        timeout: float,
    ) -> None:
        """Does no I/O.

        Args:
            rpc: Calls of the gateway's own methods.
            discovery: The lookup of the gateway's message layout; None if the client uses the
                layout of the installed protos without a lookup.
            gateway: The client for calls to backends.
            pubsub: The client for events.
            timeout: Seconds that each check may take.
        """
        self._rpc = rpc
        self._transport = rpc.transport
        self._discovery = discovery
        self._gateway = gateway
        self._pubsub = pubsub
        self._timeout = timeout
        self._checks: list[Check] = []

    async def report(self, *, publish: bool, topic: str) -> Report:
        """Makes all checks in order, and skips checks that depend on a failed check.

        Args:
            publish: True publishes an event and waits until it comes back. False skips this check.
            topic: Topic of that event.
        """
        # A client that is closed raises instead of producing a report about a gateway.
        self._transport.check()
        reachable = await self._reach()
        if reachable:
            self._security()
        else:
            self._add("TLS", Outcome.SKIPPED, _NOBODY)
        if reachable and await self._authenticate():
            await self._wire()
            if publish:
                await self._round_trip(topic)
            else:
                self._add("round trip", Outcome.SKIPPED, "not asked for")
        elif not reachable:
            for name in ("authentication", "reflection", "wire", "round trip"):
                self._add(name, Outcome.SKIPPED, _NOBODY)
        else:
            for name in ("reflection", "wire", "round trip"):
                self._add(name, Outcome.SKIPPED, "the gateway does not let this client in")
        versions = {
            "Python": platform.python_version(),
            "virtufin-api": __version__,
            "grpcio": grpc.__version__,
            "protobuf": google.protobuf.__version__,
        }
        return Report(self._transport.peer, versions, tuple(self._checks))

    def _add(self, name: str, outcome: Outcome, text: str, advice: str = "") -> None:
        self._checks.append(Check(name, outcome, text, advice))

    async def _reach(self) -> bool:
        began = time.monotonic()
        try:
            health = await check_health(self._transport, self._rpc.budget(self._timeout))
        except (UnavailableError, DeadlineExceededError) as error:
            self._unreachable(error)
            return False
        except VirtufinError as error:
            # Without a status the error is from this client and shows nothing about the gateway.
            if not _is_answer(error):
                # The request was never sent, for example because fetching the API key failed.
                self._add("reachability", Outcome.FAILED, _text_of(error))
                self._add("health", Outcome.SKIPPED, _NOBODY)
                return False
            # No failed check, because a gateway that rejects a call is reachable.
            health, refusal = None, error
            unsupported = isinstance(error, UnsupportedError)
        took = (time.monotonic() - began) * 1000
        self._add("reachability", Outcome.OK, f"answers in {took:.0f} ms")
        if health is Health.SERVING:
            self._add("health", Outcome.OK, "serving")
        elif health is Health.NOT_SERVING:
            advice = "look at the gateway's own log"
            self._add("health", Outcome.FAILED, "it says that it is not serving", advice)
        elif unsupported:
            self._add("health", Outcome.WARNING, "it has no health service")
        else:
            self._add("health", Outcome.WARNING, _text_of(refusal))
        return True

    def _unreachable(self, error: VirtufinError) -> None:
        text = _text_of(error)
        if isinstance(error, DeadlineExceededError):
            text = f"no answer within {self._timeout:g} s"
            advice = "is something in between that swallows packets, or is it no gRPC server?"
        else:
            lowered = text.lower()
            known = (advice for words, advice in _REFUSED_WAYS if words in lowered)
            advice = next(known, "is a gateway running there, and is it the native gRPC port?")
        self._add("reachability", Outcome.FAILED, text, advice)
        self._add("health", Outcome.SKIPPED, _NOBODY)

    def _security(self) -> None:
        if self._transport.encrypted is None:
            self._add("TLS", Outcome.SKIPPED, "the channel was given, its security is its owner's")
        elif self._transport.encrypted:
            self._add("TLS", Outcome.OK, "in use")
        elif self._transport.local:
            self._add("TLS", Outcome.OK, "not in use, on this machine")
        else:
            advice = "set tls=True where the gateway, or a proxy before it, has TLS"
            self._add("TLS", Outcome.WARNING, "not in use: all travels readably", advice)

    async def _authenticate(self) -> bool:
        name, with_key = "authentication", self._transport.credentials.has_key
        try:
            # Looked up before, because the lookup must not use up the time limit of this check.
            await self._rpc.ensure_layout(self._rpc.budget(None))
            services = await self._gateway.list_services_async(timeout=self._timeout)
        except UnauthenticatedError as error:
            what = "the API key is not accepted" if with_key else "an API key is needed"
            advice = "set api_key= or VIRTUFIN_API_KEY to a key that the gateway knows"
            self._add(name, Outcome.FAILED, f"{what}: {_text_of(error)}", advice)
            return False
        except PermissionDeniedError as error:
            self._add(name, Outcome.FAILED, _text_of(error), "ask for a key that allows it")
            return False
        except UnsupportedError:
            advice = "is it the gateway's port, not that of a backend or a sidecar?"
            self._add("gateway", Outcome.FAILED, "what answers there is no gateway", advice)
            return False
        except VirtufinError as error:
            self._add("gateway", Outcome.FAILED, f"listing services fails: {_text_of(error)}")
            return False
        said = "the API key is accepted" if with_key else "no API key is needed"
        self._add(name, Outcome.OK, said)
        listed = ", ".join(services) or "none"
        self._add("services", Outcome.OK, f"{len(services)}: {listed}")
        return True

    async def _wire(self) -> None:
        if self._discovery is None:
            text = "not used: wire='packaged'"
            self._add("reflection", Outcome.SKIPPED, text)
            self._add("wire", Outcome.SKIPPED, "the packaged protos are taken for the truth")
            return
        try:
            await self._rpc.ensure_layout(self._rpc.budget(None))
        except VirtufinError as error:
            self._no_reflection(error)
            return
        failure = self._discovery.failure
        if failure is None:
            self._add("reflection", Outcome.OK, "describes the gateway's own services")
        else:
            self._no_reflection(failure)
            return
        wire = self._discovery.wire
        if wire.generation == "earlier":
            text = "the gateway is of the earlier generation: events travel as data and metadata"
            advice = "typed attributes become text there, and protobuf Any cannot be sent"
            self._add("wire", Outcome.WARNING, text, advice)
        elif wire.origin == "reflection":
            text = "its messages are laid out in another way than the packaged protos"
            self._add("wire", Outcome.WARNING, text, "the client translates; nothing is to do")
        else:
            text = "its messages are laid out as in the packaged protos"
            self._add("wire", Outcome.OK, text)
        for difference in wire.differences:
            self._checks.append(_check_difference(difference, wire.translates(difference)))

    def _no_reflection(self, failure: Exception) -> None:
        advice = "replies come as sent, and the packaged protos are taken for the gateway's"
        text = f"cannot be used: {failure}"
        if isinstance(failure, ReflectionUnsupportedError):
            text = "the gateway has none"
        self._add("reflection", Outcome.WARNING, text, advice)
        self._add("wire", Outcome.SKIPPED, "unknown without reflection")

    async def _round_trip(self, topic: str) -> None:
        name, mark = "round trip", str(uuid.uuid4())
        began = time.monotonic()
        try:
            await asyncio.wait_for(self._event_and_back(topic, mark), self._timeout)
        except (asyncio.TimeoutError, DeadlineExceededError):
            advice = "is the gateway's pub/sub component running?"
            text = f"an event published to {topic!r} did not come back in {self._timeout:g} s"
            self._add(name, Outcome.FAILED, text, advice)
        except PermissionDeniedError as error:
            self._add(name, Outcome.SKIPPED, f"not allowed: {_text_of(error)}")
        except VirtufinError as error:
            self._add(name, Outcome.FAILED, _text_of(error))
        else:
            took = (time.monotonic() - began) * 1000
            text = f"an event published to {topic!r} came back in {took:.0f} ms"
            self._add(name, Outcome.OK, text)

    async def _event_and_back(self, topic: str, mark: str) -> None:
        async with self._pubsub.subscribe_async_iter(topic) as events:
            await events.ready()
            await self._pubsub.publish_async(topic, mark, type="com.virtufin.client.doctor.probe")
            # Compared by a unique text, because others may publish to the same topic.
            async for event in events:
                if event.data == mark.encode():
                    return
        raise ClientClosedError("the client was closed during the check")


def _is_answer(error: Exception) -> bool:
    """Returns True if an error has a gRPC status; otherwise the request was not sent."""
    return isinstance(error, grpc.RpcError)


def _text_of(error: VirtufinError) -> str:
    """Returns the text that the gateway sent, without the advice that this client adds to it."""
    # Without that advice, because the report gives its own.
    details = error.details() if isinstance(error, grpc.RpcError) else ""
    return details or error.message


def _check_difference(difference: Difference, translated: bool) -> Check:
    """Returns the check for a difference, rated by its consequences for this client.

    Args:
        difference: The difference between the gateway's descriptors and the installed protos.
        translated: True if the client translates, so that calls work in spite of the difference.
    """
    text = str(difference)
    if difference.is_addition:
        return Check("difference", Outcome.OK, text)
    if difference.is_method:
        fallback = _WITH_FALLBACK.get(difference.where)
        if fallback is not None:
            return Check("difference", Outcome.OK, text, fallback)
        if translated:
            return Check("difference", Outcome.WARNING, text, "Gateway.Subscribe is used instead")
        return Check("difference", Outcome.FAILED, text, "calls of it raise UnsupportedError")
    if not difference.gateway and not translated:
        advice = "calls that need it raise UnsupportedError; replies have its default"
        return Check("difference", Outcome.WARNING, text, advice)
    if translated:
        return Check("difference", Outcome.WARNING, text, "the client translates")
    return Check("difference", Outcome.FAILED, text, "the client cannot translate that")
