# SPDX-License-Identifier: Apache-2.0
"""What always comes out the same, worked out once for all hubs and connectors of a process.

A program reads its directory and tests its primitives when it starts, once. Tests start thousands of programs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache

import pytest

import connectors.app
import hub.app
from keys.selftest import self_test
from protocol.statements import Body

BODIES = 2_000


@contextmanager
def remembered() -> Iterator[None]:
    """Read each statement's body once, and test the primitives once; what failed is asked again."""
    once = cache(self_test)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Body, "parse", lru_cache(BODIES)(Body.parse))
        patch.setattr(hub.app, "self_test", once)
        patch.setattr(connectors.app, "self_test", once)
        yield
