# SPDX-License-Identifier: Apache-2.0
"""Rules and dashboard ask for nothing that a running hub and connector do not tell; each alert says what to do."""

import asyncio
import json
import re
import ssl
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from connectors.access import TOKEN_FILE, ensure_token, read_token
from connectors.api import application
from connectors.logs import Log
from connectors.timing import system_clock
from hub import serving
from hub.logs import make_log
from hub.service.signingkeys import CREDENTIAL_NAME
from keys.backuprecord import note_backup
from keys.privatefile import write_private
from protocol.errors import CODES
from protocol.http import hub as api
from protocol.http.calling import Client, new_session
from protocol.http.connector import CONNECTOR_OPERATIONS
from protocol.http.hub import HUB_OPERATIONS
from protocol.http.running import Runner, listen
from tests.connectors.stations import api_of, install, open_station
from tests.hub.running import DeviceClient, make_settings
from tests.keys.world import seed
from tests.programme import make_programme
from tests.tlsnames import certificate

FOLDER = Path(__file__).parents[1] / "docs" / "monitoring"
PAGE = FOLDER.parent / "monitoring.md"
HUB, CONNECTOR = "throughcare-hub", "throughcare-connector"
WRITTEN_BY_PROMETHEUS = {"job", "instance"}
CLOSED = {
    "operation": {one.id for one in (*HUB_OPERATIONS, *CONNECTOR_OPERATIONS)},
    "code": {*CODES, "5..", "507"},
    "outcome": {*CODES, "accepted", "delivered"},
}
"""Labels whose values depend on what happened, and all values that they can have; `5..` and `507` are statuses."""

Told = Mapping[str, list[Mapping[str, str]]]
"""The labels of every sample by metric."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Told]:
    """Return what a real hub and a real connector tell after some traffic, by job."""
    return asyncio.run(_ask_both(tmp_path_factory.mktemp("monitoring")))


async def _ask_both(folder: Path) -> Mapping[str, Told]:
    programme = make_programme(now=system_clock())
    data = folder / "hub"
    data.mkdir(mode=0o700)
    # The keys that the tests' connectors have pinned.
    write_private(data / CREDENTIAL_NAME, seed("audit log") + seed("directory log"))
    chain, key = certificate(folder, "localhost", 30)
    tls = ("[tls]", f'certificate_file = "{chain}"', f'key_file = "{key}"')
    settings = make_settings(data, programme, f'credentials_directory = "{data}"', *tls)
    stop, up = asyncio.Event(), asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serving.run(settings, log=make_log("error", "json"), ready=up.set_result, stop=stop))
    urls = await asyncio.wait_for(up, 20)
    trusting = ssl.create_default_context(cafile=chain)
    member, other = programme.members["gora-prison"], programme.members["reka-probation"]
    async with new_session(tls=trusting) as session:
        for raw in programme.statements:
            await Client(session, urls.public).call(
                api.SUBMIT_STATEMENT, api.StatementAccepted, body=api.StatementSubmission(statement=raw)
            )
        sender = DeviceClient(session, urls.public, member.device, system_clock)
        await sender.submit(programme.sender("gora-prison").seal(other.desk).data)
        await DeviceClient(session, urls.public, other.device, system_clock).items()
        assert (await session.get(urls.public + "/v1/mailbox")).status == 401
        connector = await _connector(folder / "connector", programme, urls.public, trusting)
        async with session.get(urls.admin + "/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            hub = await answer.text()
    stop.set()
    await running
    return {HUB: _samples(hub), CONNECTOR: _samples(connector)}


async def _connector(folder: Path, programme: Any, url: str, trusting: ssl.SSLContext) -> str:
    member = programme.members["reka-probation"]
    installation = install(folder, member, programme, url)
    async with open_station(folder, member, installation, system_clock, tls=trusting) as station:
        await station.look()
        await station.collect()
        station.parts.connection.reached()
        note_backup(folder, made_at=system_clock(), size=1)
        services = api_of(station)
        app = application(services, ensure_token(folder), system_clock, Log(station.logged, json=True))
        runner = Runner(app, clock=system_clock, shutdown_s=1.0)
        address = f"http://localhost:{await listen(runner, '127.0.0.1', 0)}/v1/metrics"
        try:
            async with new_session() as session:
                assert (await session.get(address)).status == 401
                shown = {"Authorization": f"Bearer {read_token(folder / TOKEN_FILE)}"}
                async with session.get(address, headers=shown) as answer:
                    assert answer.content_type == "text/plain"
                    return await answer.text()
        finally:
            await runner.cleanup()


def _samples(text: str) -> Told:
    found = defaultdict[str, list[Mapping[str, str]]](list)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name].append(sample.labels)
    return found


@dataclass(frozen=True)
class Asked:
    """One expression, and where it stands."""

    place: str
    text: str

    def __str__(self) -> str:
        return self.place


@cache
def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((FOLDER / "rules.yml").read_text(encoding="utf-8"))
    assert document.keys() == {"groups"}
    for group in document["groups"]:
        assert group.keys() == {"name", "rules"}
    return [rule for group in document["groups"] for rule in group["rules"]]


@cache
def panels() -> list[dict[str, Any]]:
    document = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    assert document["title"]
    assert document["schemaVersion"] >= 39
    found: list[dict[str, Any]] = document["panels"]
    return found


def asked() -> list[Asked]:
    """Return every expression of rules and dashboard."""
    of_rules = [Asked(rule["alert"], rule["expr"]) for rule in rules()]
    return of_rules + [
        Asked(panel["title"], target["expr"]) for panel in panels() for target in panel.get("targets", ())
    ]


def nodes(expression: str, kind: type) -> Iterator[Any]:
    """Yield the parts of a kind."""
    found: list[Any] = []
    promql.walk(promql.parse(expression), found.append)
    return (node for node in found if isinstance(node, kind))


def jobs_of(selector: promql.VectorSelector, told: Mapping[str, Told]) -> list[str]:
    """Return the jobs whose metric a selector means; those it names, else all that tell it."""
    named = [one.value for one in selector.matchers.matchers if one.name == "job"]
    return named or [job for job in told if selector.name in told[job]]


@pytest.mark.parametrize("expression", asked(), ids=str)
def test_every_metric_and_label_that_is_asked_for_is_told(told: Mapping[str, Told], expression: Asked) -> None:
    selectors = list(nodes(expression.text, promql.VectorSelector))
    assert selectors
    known = set[str]()
    for selector in selectors:
        if selector.name == "up":
            assert jobs_of(selector, told)[0] in told
            continue
        jobs = jobs_of(selector, told)
        assert jobs, f"nobody tells {selector.name}"
        for job in jobs:
            samples = told[job][selector.name]
            assert samples, f"{job} does not tell {selector.name}"
            labels = {name for sample in samples for name in sample}
            known |= labels
            for one in selector.matchers.matchers:
                if one.name in WRITTEN_BY_PROMETHEUS:
                    continue
                assert one.name in labels, f"{selector.name} has no label {one.name}"
                values = CLOSED.get(one.name) or {sample[one.name] for sample in samples}
                everywhere = values | {s[one.name] for j in jobs for s in told[j][selector.name] if one.name in s}
                assert set(one.value.split("|")) <= everywhere
    for grouping in nodes(expression.text, promql.AggregateExpr):
        if grouping.modifier is not None:
            assert set(grouping.modifier.labels) <= known | WRITTEN_BY_PROMETHEUS


def test_every_alert_says_what_it_is_what_to_do_and_where_it_is_explained() -> None:
    page = PAGE.read_text(encoding="utf-8")
    headings = {_anchor(line) for line in page.splitlines() if line.startswith("## ")}
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert re.fullmatch(r"\d+[mhd]", rule.get("for", "1m"))
        told = rule["annotations"]
        assert told.keys() == {"summary", "action", "docs"}
        for sentence in (told["summary"], told["action"]):
            assert sentence[0].isupper()
            assert sentence.endswith(".")
        path, _, anchor = told["docs"].partition("#")
        assert path == "docs/monitoring.md"
        assert anchor in headings, rule["alert"]
        section = page.split("## ")[1:]
        explained = next(part for part in section if _anchor("## " + part.splitlines()[0]) == anchor)
        assert re.search(rf"\b{rule['alert']}\b", explained), f"{rule['alert']} is not named in its section"
    named = r"throughcare (?:doctor|handover list|quarantine list)|(?:referral|message) list"
    for name in re.findall(named, str(rules())):
        assert name in page


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", heading.removeprefix("## ").lower()).replace(" ", "-")


def test_the_page_names_every_metric_that_is_told_and_no_other(told: Mapping[str, Told]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    named = dict(re.findall(r"`(throughcare_[a-z_]+)(?:\{([a-z,]+)\})?`", page))
    really = defaultdict[str, set[str]](set)
    for samples in told.values():
        for name, found in samples.items():
            if not name.endswith("_created"):
                really[re.sub(r"_(bucket|sum|count)$", "", name)] |= {label for one in found for label in one} - {"le"}
    assert {name: set(filter(None, labels.split(","))) for name, labels in named.items()} == really


def test_the_dashboard_has_its_panels_side_by_side_and_explained() -> None:
    assert len({panel["id"] for panel in panels()}) == len(panels())
    taken = set[tuple[int, int]]()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"].endswith(".")
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert panel["targets"]


def test_promise_9_no_metric_of_a_connector_names_anybody(told: Mapping[str, Told]) -> None:
    labels = {name for samples in told.values() for found in samples.values() for one in found for name in one}
    assert labels <= {
        "by", "check", "code", "direction", "key", "le", "operation", "outcome", "python", "state", "version",
    }  # fmt: skip
    values = str(told)
    for member in make_programme().members.values():
        for name in (member.address.partition("@")[0], member.device_id.hex()):
            assert name not in values
