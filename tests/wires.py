"""Which generation of the gateway's wire the tests of the client run against.

VIRTUFIN_TEST_WIRE names it, `current` where it is not set; each emulator of the tests that is not
told otherwise speaks it.
"""

import os

from virtufin.api.emulator import Emulator


def speak():
    """Makes emulators speak it by default."""
    Emulator.__init__.__kwdefaults__["wire"] = os.environ.get("VIRTUFIN_TEST_WIRE") or "current"
