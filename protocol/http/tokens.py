# SPDX-License-Identifier: Apache-2.0
"""Tokens of the local interface: one for each program of the agency, good for what it does and no more (CON-14)."""

from typing import Annotated, Final

from pydantic import Field

from protocol.errors import Conflict, IdempotencyKeyReused, InvalidInput, NotFound, StoreFull
from protocol.http.examples import NOW
from protocol.http.fields import DeskText, QueryModel, RequestModel, ResponseModel, Time, TokenIdText
from protocol.http.operation import Auth, Example, Method, Operation, Scope

MAX_TOKENS: Final = 200
"""Tokens in force at a time; more than an agency has programs."""
MAX_DAYS: Final = 732
MAX_DESKS: Final = 100
USUAL_DAYS: Final = 366

_Label = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9]+([ ._-][A-Za-z0-9]+)*$")]
_Scopes = Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))]


class TokenRequest(RequestModel):
    """A token to be made. `name` says which program it is for; after `days` it is good for nothing."""

    name: _Label
    scopes: _Scopes
    days: Annotated[int, Field(ge=1, le=MAX_DAYS)] = USUAL_DAYS
    desks: Annotated[list[DeskText], Field(max_length=MAX_DESKS)] = Field(default_factory=list)
    """The desks of this connector to which it is bound: it reads and sends for these only; none is all of them."""


class TokenItem(ResponseModel):
    """One token, without its secret, which nobody can see a second time."""

    id: TokenIdText
    name: _Label
    scopes: list[Scope]
    made_at: Time
    ends_at: Time
    revoked_at: Time | None
    desks: list[DeskText]


class TokenMade(TokenItem):
    """A new token. `secret` is what its program sends as `Authorization: Bearer …`; it is shown this once."""

    secret: Annotated[str, Field(max_length=100, repr=False)]


class TokenList(ResponseModel):
    """All tokens that were made, the newest first; one that ended or was revoked over 90 days ago is forgotten."""

    items: list[TokenItem]


class TokenPath(QueryModel):
    """Which token."""

    token: TokenIdText


_ITEM: Final = {
    "id": "tok_" + "a" * 26,
    "name": "case system",
    "scopes": ["read", "send", "move"],
    "made_at": NOW,
    "ends_at": "2027-11-24T08:09:10.123Z",
    "revoked_at": None,
    "desks": [],
}

MAKE_TOKEN = Operation(
    id="makeToken",
    method=Method.POST,
    path="/v1/tokens",
    summary="Make a token for one program of the agency, good for the named scopes only.",
    description=(
        "Bound to `desks` it reaches what they sent and what came for them: for it nothing else exists, and operations "
        "over all desks (cases, search, drafts, prints, FHIR, forward, sub-referral) are `forbidden`. "
        "The secret is in this answer and nowhere else; only its hash counts later. The same Idempotency-Key gets the "
        "same answer for seven days, for a caller that lost it: so long it lies here and in backups, sealed, or until "
        "the token is revoked."
    ),
    auth=Auth.TOKEN,
    scope=Scope.ADMIN,
    request=TokenRequest,
    response=TokenMade,
    status=201,
    idempotency_key=True,
    errors=(InvalidInput, Conflict, IdempotencyKeyReused, StoreFull),
    example=Example(
        request={"name": "case system", "scopes": ["read", "send", "move"], "days": 366},
        response={**_ITEM, "secret": "TC-TOKEN-" + "A" * 52},
    ),
)
LIST_TOKENS = Operation(
    id="listTokens",
    method=Method.GET,
    path="/v1/tokens",
    summary="List the tokens that were made: for whom, good for what, until when.",
    auth=Auth.TOKEN,
    scope=Scope.ADMIN,
    response=TokenList,
    example=Example(response={"items": [_ITEM]}),
)
REVOKE_TOKEN = Operation(
    id="revokeToken",
    method=Method.POST,
    path="/v1/tokens/{token}/revocation",
    summary="Revoke a token at once and for good; asking twice has no further effect.",
    auth=Auth.TOKEN,
    scope=Scope.ADMIN,
    parameters=TokenPath,
    response=TokenItem,
    errors=(NotFound,),
    example=Example(path={"token": "tok_" + "a" * 26}, response={**_ITEM, "revoked_at": NOW}),
)
