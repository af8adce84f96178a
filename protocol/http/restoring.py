# SPDX-License-Identifier: Apache-2.0
"""The file that a restored hub writes and its authority reads: what was kept, and what was lost (GEN-2)."""

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from protocol.http.fields import Bytes32
from protocol.restoration import Kept, Restoration


class KeptLog(BaseModel):
    """What was kept of one log, and the newest of it that guards and witnesses have shown, as the operator says."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    size: NonNegativeInt
    root: Bytes32
    known_size: NonNegativeInt
    known_root: Bytes32

    def kept(self) -> Kept:
        """Return it as it stands in the statement."""
        return Kept(self.size, self.root, self.known_size, self.known_root)


class KeptBefore(KeptLog):
    """The directory before who signs was brought back, so that its root can be followed to what was kept (ENR-10)."""

    brought: list[Bytes32]
    """The digests of the statements that were brought back, in the order in which they stand behind it."""


class RestoreRequest(BaseModel):
    """The whole file; times in ms UTC."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    domain: str
    generation: int
    backup_at: int
    signed_until: int
    directory: KeptLog
    leaves: list[Bytes32]
    """The hash of each leaf of the directory that was kept, so that every earlier tree of it can be made (ENR-10)."""
    audit: KeptLog
    before: KeptBefore | None = None
    """The directory before the authority's folder brought back who signs, if it did (GEN-10)."""
    roots: list[Bytes32]
    """The digests of all statements of the root that were kept or brought back, oldest first."""
    authorities: list[Bytes32]
    """Likewise of the hub's authority."""
    authority_at: NonNegativeInt
    """When the newest of these was issued; 0 if there is none."""

    def subject(self) -> Restoration:
        """Return what is to be signed."""
        return Restoration(self.domain, self.generation, self.directory.kept(), self.audit.kept())
