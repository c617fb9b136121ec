"""Calls to backends: the registered services, their descriptors, and the calls themselves.

A backend is a service behind the gateway, which clients call through the gateway.
"""

from .catalog import AppRoute, BackendMethod, Catalog
from .invoker import InvocationError, Invoker, Request
from .registered_services import SAMPLES, Registry, Service, read_services, require_services

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
    "read_services",
    "require_services",
]
