# SPDX-License-Identifier: Apache-2.0
"""What is typed twice on one day is sent once: without `--once-key` a command is known again by what it asks for.

A referral of somebody whom no number names yet cannot be told from a second one by its thread (REF-8), a second
handover asks for the lead once more, and people type a command again when they did not see what became of it. The day
is that of UTC. A message (`message send`) is not of these: one that is written again is meant to come again.
"""

import hashlib
import secrets

from pydantic import BaseModel

from connectors.cli.voice import Voice
from connectors.enrolment.visit import now_ms
from protocol.limits import DAY


class Once:
    """One command that may have been typed before; `before` is whether it was."""

    def __init__(self, key: str | None, command: str, asked: BaseModel) -> None:
        """`key` is what `--once-key` says; without it `command`, what is `asked` for and the day make one."""
        said = f"{command}\0{now_ms() // DAY}\0{asked.model_dump_json()}"
        self._named = key is not None
        self.key = key or hashlib.sha256(said.encode()).hexdigest()
        self.before = False

    def was_before(self) -> None:
        """Note that the connector gave the answer that it gave before, and did nothing."""
        self.before = True

    def tell(self, voice: Voice) -> None:
        """Say that nothing was sent this time, and how it would be."""
        if not self.before:
            return
        again = "a --once-key that was never used" if self._named else f"--once-key again-{secrets.token_hex(8)}"
        voice.warn(
            f"it was sent already, and nothing was sent now; to send it once more: the same command with {again}"
        )
