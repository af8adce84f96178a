# SPDX-License-Identifier: Apache-2.0
"""Invented ids, desks and times that the examples of several operations share."""

from typing import Final

MESSAGE: Final = "msg_" + "a" * 26
THREAD: Final = "thr_" + "a" * 26
GORA: Final = "release.gora-prison@hub.example"
REKA: Final = "intake.reka-probation@hub.example"
NOW: Final = "2026-11-23T08:09:10.123Z"
