"""The version of the distribution."""

# A module of its own, because modules that `__init__` imports need the version too.

__version__ = "0.2.0"
