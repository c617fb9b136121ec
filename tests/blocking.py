"""Finding blocking calls in the event loop."""

import gc
from contextlib import contextmanager

from blockbuster import blockbuster_ctx


@contextmanager
def no_blocking_calls(*modules):
    """Raises where code of these modules makes a blocking call in the loop."""
    # Else what earlier tests left is collected while code of these modules runs, and grpc waits for
    # a thread of its own where the last of its objects goes.
    gc.collect()
    with blockbuster_ctx(scanned_modules=list(modules)) as detector:
        yield detector
