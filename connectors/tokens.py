# SPDX-License-Identifier: Apache-2.0
"""Who calls the local interface, and what that token is good for; making, listing and revoking tokens (CON-14).

The installation's own token, in its 0600 file, is good for everything: whoever can read that file can read the
keystore beside it. Every other program gets a token of its own, for what it does, which can be revoked by itself.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Collection, Mapping
from typing import Final

from connectors.bound import Desks
from connectors.store import requests, tokens
from connectors.store.engine import Store
from connectors.store.tokens import TokenRow
from connectors.timing import Clock
from protocol import ids
from protocol.address import DeskAddress
from protocol.errors import Conflict, Forbidden, InvalidInput, NotAuthenticated, NotFound
from protocol.http.call import Answer, Call, Handler
from protocol.http.operation import HOW_TO_CALL, Scope
from protocol.http.tokens import MAX_TOKENS, TokenItem, TokenList, TokenMade, TokenPath, TokenRequest
from protocol.ids import Kind, TokenId
from protocol.limits import DAY

PREFIX: Final = "TC-TOKEN-"
"""What a made token begins with, so that one that lies about is known for what it is."""
OWNER: Final = "owner"
"""How the holder of the installation's own token is called."""

_OPERATION: Final = "makeToken"
_SECRET: Final = 32


class Holder(str):
    """Who calls, by the id of a token or as `OWNER`, and what that token is good for."""

    scopes: frozenset[Scope]
    desks: Desks

    def __new__(cls, name: str, scopes: frozenset[Scope], desks: Desks = None) -> "Holder":
        """Return the holder of that name, bound to `desks` if there are some (CON-19)."""
        made = super().__new__(cls, name)
        made.scopes = scopes
        made.desks = desks
        return made


class Tokens:
    """Knows who calls, and is the service behind the operations on tokens."""

    def __init__(self, store: Store, clock: Clock, desks: Collection[DeskAddress]) -> None:
        """Keep tokens in `store`; `desks` are our own."""
        self._store = store
        self._desks = frozenset(desks)
        self._clock = clock

    def by_operation(self) -> Mapping[str, Handler[str]]:
        """Return the handler of each operation, by its id."""
        return {"makeToken": self.make_token, "listTokens": self.list_tokens, "revokeToken": self.revoke_token}

    async def holder(self, secret: str, own: str) -> Holder:
        """Return whose token `secret` is; `own` is the installation's. `NotAuthenticated` for nobody's."""
        if hmac.compare_digest(secret.encode("utf-8", "replace"), own.encode()):
            return Holder(OWNER, frozenset(Scope))
        if not secret.startswith(PREFIX):
            raise NotAuthenticated(HOW_TO_CALL)
        async with self._store.read() as tx:
            found = await tokens.by_digest(tx, _digest(secret))
        if found is None or not found.counts(self._clock()):
            raise NotAuthenticated(HOW_TO_CALL)
        desks = frozenset(found.desks) if found.desks else None
        return Holder(ids.text(Kind.TOKEN, found.token_id), frozenset(_known(found)), desks)

    async def make_token(self, call: Call[str]) -> Answer:
        """Make a token, once for each Idempotency-Key with the same body."""
        asked = call.body(TokenRequest)
        if not self._desks.issuperset(asked.desks):
            raise InvalidInput("A token can be bound to desks of this connector only.")
        if asked.desks and Scope.ADMIN in asked.scopes:
            raise InvalidInput("Who may make tokens can make one for every desk: `admin` is not bound to desks.")
        key, now = requests.request_key(_OPERATION, call.idempotency_key), self._clock()
        async with self._store.write() as tx:
            before = await requests.answer(tx, key, call.raw)
            if before == b"":
                raise Conflict("The token that was made by this request is revoked. Make another with another key.")
            if before is not None:
                return Answer(TokenMade.model_validate_json(before), headers={"Idempotent-Replayed": "true"})
            if await tokens.in_force(tx, now) >= MAX_TOKENS:
                raise Conflict("There are as many tokens as there may be. Revoke those that nobody uses.")
            secret = PREFIX + base64.b32encode(secrets.token_bytes(_SECRET)).decode().rstrip("=")
            row = TokenRow(
                token_id=TokenId(ids.new_id()),
                digest=_digest(secret),
                name=asked.name,
                scopes=tuple(scope.value for scope in Scope if scope in asked.scopes),
                made_at=now,
                ends_at=now + asked.days * DAY,
                asked_by=key,
                desks=tuple(dict.fromkeys(asked.desks)),
            )
            await tokens.add(tx, row)
            made = TokenMade(**_item(row).model_dump(), secret=secret)
            await requests.keep(tx, key, call.raw, made.model_dump_json().encode(), now)
        return Answer(made)

    async def list_tokens(self, _: Call[str]) -> Answer:
        """List all tokens."""
        async with self._store.read() as tx:
            return Answer(TokenList(items=[_item(row) for row in await tokens.every(tx)]))

    async def revoke_token(self, call: Call[str]) -> Answer:
        """Revoke one token."""
        token_id = call.path(TokenPath).token
        async with self._store.write() as tx:
            await tokens.revoke(tx, token_id, self._clock())
            found = await tokens.by_id(tx, token_id)
            if found is not None and found.asked_by is not None:
                # Its secret is in that answer, for whoever lost it; nobody needs it any more.
                await requests.empty(tx, found.asked_by)
        if found is None:
            raise NotFound
        return Answer(_item(found))


def check_scope(caller: str, scope: Scope | None) -> None:
    """Raise `Forbidden` unless the caller's token is good for what needs `scope`."""
    if not isinstance(caller, Holder) or scope not in caller.scopes:
        raise Forbidden(
            f"This needs a token with the scope {scope}. Whoever looks after the connector makes one: "
            "throughcare token make"
        )


def desks_of(caller: str) -> Desks:
    """Return which desks the caller's token is bound to; None if to none (CON-19)."""
    return caller.desks if isinstance(caller, Holder) else frozenset()


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def _known(row: TokenRow) -> list[Scope]:
    """Return what it is good for here; a scope of a newer version is none."""
    return [scope for scope in Scope if scope in row.scopes]


def _item(row: TokenRow) -> TokenItem:
    return TokenItem(
        id=row.token_id,
        name=row.name,
        scopes=_known(row),
        made_at=row.made_at,
        ends_at=row.ends_at,
        revoked_at=row.revoked_at,
        desks=list(row.desks),
    )
