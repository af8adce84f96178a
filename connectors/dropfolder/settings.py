# SPDX-License-Identifier: Apache-2.0
"""`[drop]`: a folder through which a system that knows only files sends and receives (DRP-1)."""

from pydantic import Field

from protocol.http.fields import DeskText
from protocol.settings import ConfigPath, Section


class DropSection(Section):
    """`[drop]`: where the folder is."""

    folder: ConfigPath | None = Field(
        None,
        description="The drop folder; without it none is looked into. The connector makes `in`, `done`, `refused` and "
        "`out` there, for its own user, and for the folder's group where that may write. What lies there is in plain "
        "text: keep it on an encrypted disk of this machine.",
        examples=["/srv/throughcare-drop"],
    )
    desks: tuple[DeskText, ...] = Field(
        (),
        description="The desks of this connector whose folder it is: only what they sent and what came for them is "
        "given out, and a file sends and moves for these only. Without them it is every desk's.",
        examples=[["intake.gora-prison@hub.example"]],
        max_length=100,
    )
    out: bool = Field(True, description="Whether what happens here is written into `out` as it happens.")
