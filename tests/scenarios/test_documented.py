# SPDX-License-Identifier: Apache-2.0
"""The sandbox keeps what its own document promises, whatever it is asked."""

from pathlib import Path

import pytest

from tests.scenarios.documented import try_all
from tests.scenarios.running import BIN, started
from tests.seeds import SEED


@pytest.mark.full
def test_no_answer_differs_from_the_document(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """Two hundred examples of each operation, valid and not, and sequences of them; takes about five minutes."""
    with started(BIN / "throughcare", "sandbox", "--json", "--data", tmp_path) as sandbox:
        prison = sandbox.ready["agencies"][0]
        phases = "examples,coverage,fuzzing,stateful"
        token, seed = Path(prison["token_file"]), pytestconfig.stash[SEED]
        found = try_all(prison["api_url"], token, tmp_path, examples=200, phases=phases, seed=seed)
    print(found[-1_500:])  # noqa: T201 - the figures and the seed
    assert "Seed: " in found
    assert "Failures:" not in found
