# SPDX-License-Identifier: Apache-2.0
"""The operations that print: a matter, a message or a handover as an HTML page in an official language and script."""

from typing import Annotated

from pydantic import Field

from protocol.errors import Conflict, InvalidInput, NotFound, UnknownLanguage
from protocol.http.cases import CasePath
from protocol.http.examples import MESSAGE, THREAD
from protocol.http.fields import DeskText, MessageIdText, QueryModel
from protocol.http.handovers import Direction, HandoverPath
from protocol.http.messages import MessagePath
from protocol.http.operation import Auth, Example, Media, Method, Operation, Scope
from protocol.http.threads import ThreadPath

_Language = Annotated[str, Field(min_length=2, max_length=20, pattern="^[A-Za-z_-]+$")]
_DESCRIPTION = (
    "One page of HTML that needs nothing else, for the file: no script, nothing fetched. It says what the view of the "
    "same thing says (PRT-1), with who acted, both sides' register numbers and the digest that proves the message. "
    "`language` is one of bs, cnr-Cyrl, cnr-Latn, en, hr, mk, sq, sr-Cyrl, sr-Latn, or another name of one; without "
    "it the connector's own (`connector.print_language`). Its texts are drafts that a native professional must check."
)


class MessagePrint(QueryModel):
    """In which language to print."""

    language: _Language | None = None


class ThreadPrint(MessagePrint):
    """In which language to print, and which step of the thread; the whole thread without it."""

    message: MessageIdText | None = None


class ChosenPrint(MessagePrint):
    """In which language to print, and which one is meant, where several stand under one id."""

    sender: DeskText | None = None
    direction: Direction | None = None
    recipient: DeskText | None = None


PRINT_THREAD = Operation(
    id="printThread",
    method=Method.GET,
    path="/v1/threads/{thread}/print",
    summary="Print a whole referral or handover, or one step of it, in an official language and script.",
    description=_DESCRIPTION,
    auth=Auth.TOKEN,
    scope=Scope.READ,
    parameters=ThreadPath,
    query=ThreadPrint,
    response=Media.HTML,
    errors=(NotFound, InvalidInput, UnknownLanguage),
    answer_limit=64 << 20,
    example=Example(path={"thread": THREAD}, query={"language": "sq"}),
)
PRINT_CASE = Operation(
    id="printCase",
    method=Method.GET,
    path="/v1/cases/{case}/print",
    summary="Print a whole case, each thread and each message of it, in an official language and script.",
    description=_DESCRIPTION,
    auth=Auth.TOKEN,
    scope=Scope.READ,
    parameters=CasePath,
    query=MessagePrint,
    response=Media.HTML,
    errors=(NotFound, InvalidInput, UnknownLanguage),
    answer_limit=256 << 20,
    timeout_s=120,
    example=Example(path={"case": "cas_" + "a" * 26}, query={"language": "bs"}),
)
PRINT_MESSAGE = Operation(
    id="printMessage",
    method=Method.GET,
    path="/v1/messages/{id}/print",
    summary="Print a message that is no step of a life cycle, in an official language and script.",
    description=_DESCRIPTION,
    auth=Auth.TOKEN,
    scope=Scope.READ,
    parameters=MessagePath,
    query=ChosenPrint,
    response=Media.HTML,
    errors=(NotFound, Conflict, InvalidInput, UnknownLanguage),
    answer_limit=32 << 20,
    example=Example(path={"id": MESSAGE}, query={"language": "mk"}),
)
PRINT_HANDOVER = Operation(
    id="printHandover",
    method=Method.GET,
    path="/v1/handovers/{id}/print",
    summary="Print the package of a handover, in an official language and script.",
    description=_DESCRIPTION,
    auth=Auth.TOKEN,
    scope=Scope.READ,
    parameters=HandoverPath,
    query=ChosenPrint,
    response=Media.HTML,
    errors=(NotFound, Conflict, InvalidInput, UnknownLanguage),
    answer_limit=32 << 20,
    example=Example(path={"id": MESSAGE}, query={"language": "sr-Cyrl"}),
)
