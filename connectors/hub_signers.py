# SPDX-License-Identifier: Apache-2.0
"""Who signs for a hub's authority, as somebody knew it before the hub was restored (GEN-9).

A restoration is judged by the approvers of what it keeps. So with those who were exchanged since, a hub could go back
to before the exchange, and their keys would count again, for a restoration or for anything between it and the exchange.
Whoever has seen the exchange does not follow that.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import Self

from keys.chain import LEAST_APPROVERS
from keys.directory import Directory, RestorationEntry
from protocol.errors import DirectoryInconsistent
from protocol.ids import KeyId
from protocol.restoration import Restoration
from protocol.statements import Authority, Revocation, Root, UnverifiedStatement, parse_statement


@dataclass(frozen=True, slots=True)
class Quorum:
    """People of the root or of an authority by their keys, and how many of them must sign."""

    people: frozenset[KeyId]
    threshold: int

    @classmethod
    def of(cls, one: Root | Authority) -> Self:
        """Return who signs by a statement; of approvers always two (DIR-2)."""
        least = 1 if isinstance(one, Root) else LEAST_APPROVERS
        return cls(frozenset(each.key_id for each in one.identities), max(one.threshold, least))

    def signed(self, signers: frozenset[KeyId]) -> bool:
        """Tell whether `signers` are of these people only, and as many as must sign."""
        return signers <= self.people and len(signers) >= self.threshold


@dataclass(frozen=True, slots=True)
class Signing:
    """The newest statements of the root and of the hub's authority that somebody holds, and whom they name.

    By their digests; `authority` is empty where it was revoked, and no approver signs then. `issued` is its date, ms
    UTC. `named` are all people of the root and the authority that are known here, also those who have left.
    """

    root: bytes
    authority: bytes
    issued: int
    persons: Quorum
    approvers: Quorum
    named: frozenset[KeyId]

    @classmethod
    def of(cls, directory: Directory, behind: Sequence[bytes] = ()) -> Self | None:
        """Return who signs by a verified directory; None while it has no root or no authority.

        `behind` are verified statements that follow it, with a gap that the disk has made (CON-8).
        """
        root = authority = None
        revoked, named = False, frozenset[KeyId]()
        for raw in (*directory.statements_above, *behind):
            statement = parse_statement(raw)
            subject = statement.body.subject
            if isinstance(subject, Root):
                root, named = statement, named | Quorum.of(subject).people
            elif isinstance(subject, Authority) and subject.domain == directory.domain:
                authority, named, revoked = statement, named | Quorum.of(subject).people, False
            elif isinstance(subject, Revocation) and authority is not None:
                revoked = revoked or subject.target == authority.digest
        line = directory.authority_line(directory.domain)
        signing = cls.said(root, authority) if root and authority else None
        if signing is None or authority is None:
            return None
        if revoked or any(one.digest == authority.digest and one.revoked_index is not None for one in line):
            nobody = Quorum(frozenset(), signing.approvers.threshold)
            return replace(signing, authority=b"", approvers=nobody, named=named)
        return replace(signing, named=named)

    @classmethod
    def said(cls, root: UnverifiedStatement, authority: UnverifiedStatement) -> Self | None:
        """Return who signs by the newest statements that an authority's folder holds; None if they are none."""
        above, subject = root.body.subject, authority.body.subject
        if not isinstance(above, Root) or not isinstance(subject, Authority):
            return None
        persons, approvers = Quorum.of(above), Quorum.of(subject)
        named = persons.people | approvers.people
        return cls(root.digest, authority.digest, authority.body.issued, persons, approvers, named)

    def check(
        self,
        directory: Directory,
        known: int,
        unheld: Sequence[bytes] | None = None,
        held: Set[bytes] = frozenset(),
        *,
        damaged: bool = False,
    ) -> None:
        """Raise `DirectoryInconsistent` if former people have signed anything since the first `known` restorations.

        A restoration that keeps the newest root and authority is judged by GEN-2. Any other needs its signers, as many
        as must sign, to be approvers by what it keeps and by what it loses. `unheld` are the statements that were not
        held here before, in their order; without them newer ones of the authority are looked at, and no others. `held`
        are the digests of others: a restoration among them was judged before. With `damaged` some that were held cannot
        be read any more: they may be among what was kept, of which newer ones of the authority are looked at then.
        """
        restored = [one for one in directory.restorations[known:] if one.digest not in held]
        for one in restored:
            enough = len(one.signers & self.approvers.people) >= self.approvers.threshold
            if not enough and not self._kept(directory, one):
                raise DirectoryInconsistent(
                    "The hub was restored to before its authority exchanged somebody, and too few who sign since then "
                    "have signed that. The exchange has to be brought back first, from the authority's folder."
                )
        if not restored:
            return
        newer = set(self._newer(directory)) if damaged or unheld is None else set[bytes]()
        if unheld is None:
            unheld = [raw for raw in directory.statements_above if raw in newer]
        elif damaged:
            kept = restored[0].kept
            unheld = [raw for raw in unheld if raw in newer or (directory.index_of(raw) or 0) >= kept]
        self._check_unheld(directory, unheld)

    def _kept(self, directory: Directory, restored: RestorationEntry) -> bool:
        """Tell whether a restoration stands behind the newest root, and behind the newest authority or a newer one."""
        root, authority = self._stand(directory)
        return root is not None and authority is not None and max(root, authority) < restored.index

    def _stand(self, directory: Directory) -> tuple[int | None, int | None]:
        """Return at which leaves the newest root and the newest authority, or the first newer one, stand."""
        roots = (one.index for one in directory.root_line() if one.digest == self.root)
        line = directory.authority_line(directory.domain)
        found = (one.index for one in line if one.digest == self.authority or one.issued > self.issued)
        return next(roots, None), next(found, None)

    def _newer(self, directory: Directory) -> Iterator[bytes]:
        """Yield the roots, and what is newer of the hub's authority: a folder does not hold what is older."""
        for raw in directory.statements_above:
            body = parse_statement(raw).body
            ours = isinstance(body.subject, Authority) and body.subject.domain == directory.domain
            if isinstance(body.subject, Root) or (ours and body.issued > self.issued):
                yield raw

    def _check_unheld(self, directory: Directory, unheld: Iterable[bytes]) -> None:
        """Raise unless all that is new up to where the newest statements stand again is signed by people of now."""
        root, authority = self._stand(directory)
        last = directory.size if root is None or authority is None else max(root, authority)
        now = [self.persons, self.approvers]
        for raw in unheld:
            index, statement = directory.index_of(raw), parse_statement(raw)
            if index is None or index > last:
                return
            subject, signers = statement.body.subject, frozenset(one.signer for one in statement.signatures)
            if isinstance(subject, Root):
                # Its line is whole: a version that is missing is asked for (`lacking`).
                if root is not None and index > root:
                    now.append(Quorum.of(subject))
                continue
            if isinstance(subject, Restoration):
                continue
            old = isinstance(subject, Authority) and self._is_old(directory, subject, statement.body.issued)
            above = isinstance(subject, Authority) or signers & self.named
            if old or (above and not any(one.signed(signers) for one in now)):
                raise DirectoryInconsistent(
                    "The hub was restored to before its authority exchanged somebody, and people who have left signed "
                    "something there before the exchange was back. Call the authority: only a backup from before that "
                    "helps, with the exchange from the authority's folder."
                )
            if isinstance(subject, Authority) and subject.domain == directory.domain:
                now.append(Quorum.of(subject))

    def _is_old(self, directory: Directory, subject: Authority, issued: int) -> bool:
        """Tell whether a statement of the hub's authority was kept back: the newest held one was there without it."""
        return subject.domain == directory.domain and issued <= self.issued


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
