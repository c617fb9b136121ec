"""Calls to backends: which are registered, what they offer, and how they are called."""

from .catalog import AppRoute, BackendMethod, Catalog
from .invoker import InvocationError, Invoker, Request
from .registered_services import SAMPLES, Registry, Service, checked, read_services

__all__ = [
    "SAMPLES",
    "AppRoute",
    "BackendMethod",
    "Catalog",
    "InvocationError",
    "Invoker",
    "Registry",
    "Request",
    "Service",
    "checked",
    "read_services",
]
