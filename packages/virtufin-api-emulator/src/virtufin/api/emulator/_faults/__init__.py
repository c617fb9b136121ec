"""Faults of calls, streams and connections that fault plans cause in this process."""

from .active_plans import FaultyStream
from .injector import FaultInterceptor, Injector
from .tcp_relay import Relay

__all__ = [
    "FaultInterceptor",
    "FaultyStream",
    "Injector",
    "Relay",
]
