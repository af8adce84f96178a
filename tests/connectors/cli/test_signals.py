# SPDX-License-Identifier: Apache-2.0
"""A command that runs on ends in an orderly way, and its exit code says whether somebody at the keyboard ended it."""

import asyncio
import os
import signal

import pytest

from connectors.cli import demo as command
from connectors.cli import main
from connectors.cli.signals import run_until_signalled


async def ended_by(number: int, ended: list[str]) -> int:
    try:
        os.kill(os.getpid(), number)
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0)
        ended.append("in an orderly way")
    return 0


def test_ctrl_c_is_told_apart_from_a_service_that_is_stopped() -> None:
    ended = list[str]()
    with pytest.raises(KeyboardInterrupt):
        run_until_signalled(ended_by(signal.SIGINT, ended))
    for number in (signal.SIGTERM, signal.SIGHUP):
        assert run_until_signalled(ended_by(number, ended)) is None
    assert ended == ["in an orderly way"] * 3
    assert run_until_signalled(asyncio.sleep(0, 5)) == 5
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_program_that_is_stopped_at_the_keyboard_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = list[str]()
    monkeypatch.setattr(command, "_demo", lambda *_, **__: ended_by(signal.SIGINT, ended))
    assert main(["demo"]) == 130
    assert ended == ["in an orderly way"]
    assert capsys.readouterr().err.strip() == "stopped"
