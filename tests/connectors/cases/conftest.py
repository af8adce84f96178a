# SPDX-License-Identifier: Apache-2.0
"""Life cycles are told step by step: nothing here depends on what happens while a statement runs."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def step_by_step(databases_in_the_loop: None) -> None:
    """Use the databases without going to a thread."""
