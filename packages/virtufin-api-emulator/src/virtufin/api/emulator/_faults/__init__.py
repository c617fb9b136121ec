"""Faults on purpose in calls, streams and connections."""

from .active_plans import FaultyStream
from .injector import FaultInterceptor, Injector
from .tcp_relay import Relay

__all__ = [
    "FaultInterceptor",
    "FaultyStream",
    "Injector",
    "Relay",
]
