# SPDX-License-Identifier: Apache-2.0
"""Who signs for a hub's authority, as somebody knew it before the hub was restored (GEN-9).

A restoration is judged by the approvers of what it keeps. So with those who were exchanged since, a hub could go back
to before the exchange, and their keys would count again. Whoever has seen the exchange does not follow that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from keys.chain import LEAST_APPROVERS
from keys.directory import Directory, RestorationEntry
from protocol.errors import DirectoryInconsistent
from protocol.ids import KeyId
from protocol.statements import Authority, Root, UnverifiedStatement, parse_statement


@dataclass(frozen=True, slots=True)
class Signing:
    """The newest statements of the root and of the hub's authority that somebody holds, and whom the latter names.

    By their digests; `authority` is empty where it was revoked, and nobody signs then. `issued` is its date, ms UTC.
    """

    root: bytes
    authority: bytes
    issued: int
    approvers: frozenset[KeyId]
    threshold: int

    @classmethod
    def of(cls, directory: Directory) -> Self | None:
        """Return who signs by a verified directory; None while it has no authority."""
        root, line = directory.newest_root(), directory.authority_line(directory.domain)
        if root is None or not line:
            return None
        newest = line[-1]
        approvers = frozenset(one.key_id for one in newest.identities)
        if newest.revoked_index is not None:
            return cls(root.digest, b"", newest.issued, frozenset(), newest.threshold)
        return cls(root.digest, newest.digest, newest.issued, approvers, newest.threshold)

    @classmethod
    def said(cls, root: UnverifiedStatement, authority: UnverifiedStatement) -> Self | None:
        """Return who signs by the newest statements that an authority's folder holds; None if they are none."""
        subject = authority.body.subject
        if not isinstance(subject, Authority):
            return None
        approvers = frozenset(one.key_id for one in subject.identities)
        return cls(root.digest, authority.digest, authority.body.issued, approvers, subject.threshold)

    def check(self, directory: Directory, known: int) -> None:
        """Raise `DirectoryInconsistent` for a restoration after the first `known` that former approvers alone signed.

        One that keeps the newest root and authority is judged by GEN-2. Any other needs its signers, as many as must
        sign, to be approvers by what it keeps and by what it loses.
        """
        for one in directory.restorations[known:]:
            enough = len(one.signers & self.approvers) >= max(self.threshold, LEAST_APPROVERS)
            if not enough and not self._kept(directory, one):
                raise DirectoryInconsistent(
                    "The hub was restored to before its authority exchanged somebody, and too few who sign since then "
                    "have signed that. The exchange has to be brought back first, from the authority's folder."
                )

    def _kept(self, directory: Directory, restored: RestorationEntry) -> bool:
        """Tell whether a restoration stands behind the newest root, and behind the newest authority or a newer one."""
        root = any(one.digest == self.root and one.index < restored.index for one in directory.root_line())
        return root and any(
            one.index < restored.index and (one.digest == self.authority or one.issued > self.issued)
            for one in directory.authority_line(directory.domain)
        )


def lacking(directory: Directory, held: Sequence[bytes]) -> Iterator[bytes]:
    """Yield those `held` statements of roots and authorities that the directory lacks, and has nothing newer for."""
    for raw in held:
        if directory.index_of(raw) is None and not replaced(directory, parse_statement(raw)):
            yield raw


def replaced(directory: Directory, statement: UnverifiedStatement) -> bool:
    """Tell whether the directory can do without a statement: it is of neither kind, or a newer authority's is there."""
    subject = statement.body.subject
    if isinstance(subject, Authority):
        return any(one.issued > statement.body.issued for one in directory.authority_line(subject.domain))
    return not isinstance(subject, Root)
