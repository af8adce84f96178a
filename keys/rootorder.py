# SPDX-License-Identifier: Apache-2.0
"""In which order a directory takes the statements of a root and an authority that were kept as files (DIR-2)."""

from collections.abc import Iterable

from protocol.statements import Root, UnverifiedStatement, parse_statement


def in_order(raws: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return statements of the root, by version, and of an authority, each where its signers are persons of the root.

    They are in the order of their dates, other than where those who began an authority's statement later were faster.
    Raises `MalformedEnvelope` for what is no statement.
    """
    statements = [parse_statement(raw) for raw in raws]
    line = sorted((one for one in statements if isinstance(one.body.subject, Root)), key=_version)
    for one in sorted((one for one in statements if one not in line), key=lambda each: each.body.issued):
        place = sum(each.body.issued <= one.body.issued for each in line)
        # Version 1 begins a directory; where it is not among these, it stands there already.
        while place > (_version(line[0]) == 1 if line else 0) and not _may_sign(line[place - 1], one):
            place -= 1
        line.insert(place, one)
    return tuple(one.raw for one in line)


def _version(statement: UnverifiedStatement) -> int:
    return statement.body.subject.version if isinstance(statement.body.subject, Root) else 0


def _may_sign(root: UnverifiedStatement, statement: UnverifiedStatement) -> bool:
    """Tell whether all signers of a statement are persons of a root; true behind what is no root."""
    if not isinstance(root.body.subject, Root):
        return True
    return {one.signer for one in statement.signatures} <= {one.key_id for one in root.body.subject.identities}
