# SPDX-License-Identifier: Apache-2.0
"""Fail the N-th step of the writer, for N from 1 until a run ends without a fault: what was answered is always there.

Each run goes on with a copy of the files that the last one left, as after a power cut.
"""

import shutil
from pathlib import Path

import pytest

from hub.service.logcheck import check_everything
from keys.verifying import verify_receipt
from protocol.errors import StoreFull, Unavailable
from tests.hub.running import KEYS, RunningHub
from tests.programme import Programme, Sealed, make_programme

FAULTS: dict[str, type[Exception]] = {
    "full": StoreFull,
    "no memory": MemoryError,
    "no descriptors": Unavailable,
    "disk": OSError,
}
STEPS = ("before-commit", "after-commit", "after-guard")


class NthStep:
    """A hook of the writer that raises an error once, at the N-th step after it is armed."""

    def __init__(self, at: int, error: type[Exception]) -> None:
        self.left = at
        self.error = error
        self.armed = self.happened = False

    def __call__(self, step: str) -> None:
        if not self.armed or step not in STEPS:
            return
        self.left -= 1
        if self.left == 0:
            self.happened = True
            raise self.error


async def one_run(folder: Path, programme: Programme, step: NthStep, sent: list[Sealed], receipts: list[bytes]) -> None:
    async with RunningHub(folder, programme, reach=step) as hub:
        prison, probation, _ = programme.members.values()
        sender, submissions = programme.sender("gora-prison"), hub.hub.submissions
        for sealed, receipt in zip(sent, receipts, strict=True):
            assert await submissions.submit(prison.device_id, sealed.data) == receipt
        step.armed = True
        for _ in range(2):
            sealed = sender.seal(probation.desk)
            try:
                receipt = await submissions.submit(prison.device_id, sealed.data)
            except (StoreFull, Unavailable):
                if step.error is OSError:
                    return
                # It was answered with "try again", and so it is tried again.
                receipt = await submissions.submit(prison.device_id, sealed.data)
            sent.append(sealed)
            receipts.append(receipt)


@pytest.mark.parametrize("fault", FAULTS)
async def test_promise_1_whichever_step_fails_what_was_answered_is_there_once(tmp_path: Path, fault: str) -> None:
    programme, sent, receipts = make_programme(), list[Sealed](), list[bytes]()
    folder = tmp_path / "run-0"
    folder.mkdir()
    number, happened = 0, True
    while happened:
        number += 1
        step = NthStep(number, FAULTS[fault])
        await one_run(folder, programme, step, sent, receipts)
        happened = step.happened
        shutil.copytree(folder, following := tmp_path / f"run-{number}")
        folder = following
    assert number == len(STEPS) * 2 + 1
    async with RunningHub(folder, programme) as hub:
        settings = hub.settings
    size = (await check_everything(settings))["hub.example/audit"]
    indexes = [verify_receipt(raw, "hub.example/audit", KEYS.audit.public).index for raw in receipts]
    assert indexes == sorted(set(indexes))
    assert len(indexes) <= size <= len(indexes) + (number if fault == "disk" else 0)
