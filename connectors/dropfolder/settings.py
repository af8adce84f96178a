# SPDX-License-Identifier: Apache-2.0
"""`[drop]`: a folder through which a system that knows only files sends and receives (DRP-1)."""

from pydantic import Field

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
    out: bool = Field(True, description="Whether what happens here is written into `out` as it happens.")
