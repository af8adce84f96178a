# SPDX-License-Identifier: Apache-2.0
"""What always comes out the same, worked out once for all hubs and connectors of a process.

A program reads its directory, checks its signatures, and tests its primitives when it starts, once. Tests start
thousands of programs. What is forged differs in a byte from what was checked before, and is checked itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache

import pytest

import connectors.app
import hub.app
from keys import chain, permission
from keys.selftest import self_test
from protocol.statements import Body

BODIES = 2_000
CHECKS = 2_000
IN_STATEMENTS = (
    (permission, "verify_hybrid"),
    (permission, "check_identity"),
    (chain, "check_device"),
    (chain, "check_xwing_public"),
    (chain, "verify_device_proof"),
)
"""What a replay checks of each statement: functions of bytes, which return nothing or raise."""


@contextmanager
def remembered() -> Iterator[None]:
    """Read and check each statement once, and test the primitives once; what failed is asked again."""
    once = cache(self_test)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Body, "parse", lru_cache(BODIES)(Body.parse))
        for module, name in IN_STATEMENTS:
            patch.setattr(module, name, lru_cache(CHECKS)(getattr(module, name)))
        patch.setattr(hub.app, "self_test", once)
        patch.setattr(connectors.app, "self_test", once)
        yield
