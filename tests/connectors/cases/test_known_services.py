# SPDX-License-Identifier: Apache-2.0
"""Who refers for a service that the connector's table does not have is told, and it is sent all the same (REF-13)."""

import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.fhir.services import read_services, unknown
from connectors.store import tables
from protocol.http.drafts import DraftRequest
from protocol.http.threads import MAX_KNOWN, ReferralRequest, StepQueued
from protocol.kinds.referral.request import ServiceWanted
from tests.connectors.cases.test_referral import REQUEST, WORDS, settle
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.test_damage import spoil
from tests.connectors.typing import type_at

__all__ = ["csw", "prison"]

SERVICE = {"code": "housing-advice", "pathway": "accommodation", "outcome": "place-found"}
MISTYPED: dict[str, Any] = {**SERVICE, "code": "housing-advise"}


@pytest.fixture
def table(tmp_path: Path, prison: Served) -> None:
    rows = ("housing-advice", "accommodation"), ("food-help", "finance-id")
    text = "".join(
        f'[services."urn:invented|{n}"]\ncode = "{code}"\npathway = "{pathway}"\noutcome = "help-received"\n'
        for n, (code, pathway) in enumerate(rows)
    )
    (tmp_path / "services.toml").write_text(text, encoding="utf-8")
    api = prison.station.parts.thread_api
    api._services = api._drafts._services = read_services(tmp_path / "services.toml")


async def refer(prison: Served, csw: Served, service: dict[str, Any], key: str | None = None) -> StepQueued:
    request = ReferralRequest(to=csw.station.desk, fields={**REQUEST, "services": [service]}, sections=[WORDS])
    return await prison.client.refer(request, idempotency_key=key or secrets.token_hex(12))


@pytest.mark.usefixtures("table")
async def test_ref_13_a_mistyped_service_is_named_beside_those_that_there_are(prison: Served, csw: Served) -> None:
    """Nobody offered it, and the referral was declined weeks later."""
    key = secrets.token_hex(12)
    queued, again = [await refer(prison, csw, MISTYPED, key=key) for _ in range(2)]
    assert (queued.unknown_services, queued.known_services) == (["housing-advise"], ["food-help", "housing-advice"])
    assert again == queued
    await settle(prison.station, csw.station)
    assert (await csw.client.thread(queued.thread)).item.state == "delivered", "it is sent all the same"
    right = await refer(prison, csw, SERVICE)
    assert (right.unknown_services, right.known_services) == ([], [])


async def test_ref_13_without_a_table_nothing_is_known_and_nobody_is_warned(prison: Served, csw: Served) -> None:
    queued = await refer(prison, csw, MISTYPED)
    assert (queued.unknown_services, queued.known_services) == ([], [])


@pytest.mark.usefixtures("table")
async def test_ref_13_con_8_whoever_sends_a_draft_is_told_too_also_when_it_is_typed_again(
    prison: Served, csw: Served
) -> None:
    asked = DraftRequest(to=csw.station.desk, fields={**REQUEST, "services": [MISTYPED]}, sections=[WORDS])
    draft = (await prison.client.make_draft(asked, idempotency_key=secrets.token_hex(12))).item.id
    key = secrets.token_hex(12)
    sent = await prison.client.send_draft(draft, version=1, idempotency_key=key)
    # Also where the disk has damaged what was sent since (CON-8).
    await spoil(prison.station, tables.outgoing, sent.message)
    again = await prison.client.send_draft(draft, version=1, idempotency_key=key)
    assert (sent.unknown_services, sent.known_services) == (["housing-advise"], ["food-help", "housing-advice"])
    assert again == sent


@pytest.mark.usefixtures("table")
async def test_ref_13_a_command_warns_of_it(
    prison: Served, csw: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sections = [WORDS.model_dump(mode="json")]
    (tmp_path / "r.json").write_text(
        json.dumps({"fields": {**REQUEST, "services": [MISTYPED]}, "sections": sections}, default=str)
    )
    sent = "referral", "send", "--to", csw.station.desk, "--input", tmp_path / "r.json"
    assert await type_at(prison.station, prison.url, *sent) == 0
    told = capsys.readouterr().err
    assert "housing-advise is no service of the connector's table, which has food-help, housing-advice" in told


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.sampled_from(["code", "other"]), inside),
    max_leaves=8,
)
TABLE = {"urn:invented|0": ServiceWanted.model_validate_json(json.dumps(SERVICE))}


@given(JSON)
def test_ref_13_whatever_stands_in_the_fields_only_codes_are_named(services: object) -> None:
    missing, known = unknown(TABLE, {"services": services})
    assert all(isinstance(one, str) and one != SERVICE["code"] for one in missing)
    assert known == ([SERVICE["code"]] if missing else [])
    assert unknown(TABLE, {}) == unknown({}, {"services": services}) == ([], [])


def test_ref_13_no_answer_names_more_than_some() -> None:
    (one,) = TABLE.values()
    many = {str(n): one.model_copy(update={"code": f"service-{n}"}) for n in range(MAX_KNOWN + 9)}
    missing, known = unknown(many, {"services": [SERVICE]})
    assert (missing, len(known)) == (["housing-advice"], MAX_KNOWN)
