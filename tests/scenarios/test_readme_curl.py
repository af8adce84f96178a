# SPDX-License-Identifier: Apache-2.0
"""The five minutes with curl that the README promises, typed as they stand there, against a real sandbox."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.scenarios.running import BIN, started

README = Path(__file__).parents[2] / "README.md"

needs_curl = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("bash")), reason="the README's lines need curl and a shell"
)


@needs_curl
def test_the_readmes_referral_with_curl_goes_from_request_to_closed_loop(tmp_path: Path) -> None:
    block = re.search(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    with started(BIN / "throughcare", "sandbox", "--json", "--data", tmp_path / "sandbox") as running:
        (tmp_path / "sandbox.json").write_text(json.dumps(running.ready), encoding="utf-8")
        typed = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block[1]],
            cwd=tmp_path,
            check=False,
            capture_output=True,
            text=True,
            timeout=90,
        )
    assert typed.returncode == 0, typed.stderr
    assert typed.stdout.split() == ["acknowledged", "accepted", "active", "completed", "closed"]
