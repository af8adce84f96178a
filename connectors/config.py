# SPDX-License-Identifier: Apache-2.0
"""What can be set for a connector: `[connector]` and `[log]` of one TOML file, and the environment above it.

Who the connector is (agency, desks, hub, pinned root) is not set here: enrolment wrote it beside the keys.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from connectors.calendars import CalendarSection
from connectors.dropfolder.settings import DropSection
from connectors.fhir.settings import FhirSection
from connectors.languages import ENGLISH, LANGUAGES, MAX_TAG, language
from connectors.webhooks.settings import WebhooksSection
from protocol.errors import ConfigurationError, UnknownLanguage
from protocol.http.calling import base_url
from protocol.settings import (
    ConfigPath,
    Loaded,
    LogSection,
    Profile,
    RootFingerprint,
    Section,
    Settings,
    is_loopback,
)
from protocol.settings import load as load_text

OTHER_PROGRAMS: Final = frozenset({"hub", "limits", "store", "tls", "retention"})
"""Sections of the hub, which may stand in the same file."""


def _loopback(host: str) -> str:
    if not is_loopback(host) or host == "localhost":
        raise ValueError("the local interface listens on the loopback interface only: write 127.0.0.1 or ::1")
    return host


def _base_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("write http:// or https://, a host and nothing behind the path")
    if parts.username or parts.password:
        raise ValueError(
            "no user and no password stand in a URL; for a proxy they belong into connector.proxy_credentials_file"
        )
    return url.rstrip("/")


def _hub_url(url: str) -> str:
    try:
        return base_url(url)
    except ConfigurationError as error:
        raise ValueError(error.detail) from None


def _language(name: str) -> str:
    try:
        return language(name).tag
    except UnknownLanguage:
        raise ValueError(f"print_language is one of {', '.join(LANGUAGES)}") from None


class ConnectorSection(Section):
    """`[connector]`: where the installation lives and how it talks."""

    data_dir: ConfigPath = Field(
        description="The folder that enrolment filled: keys, database, access token. Keep it on a local disk.",
        examples=["/var/lib/throughcare"],
    )
    passphrase_file: ConfigPath = Field(
        description="The file with the keystore's passphrase, readable by its owner only.",
        examples=["/etc/throughcare/connector-passphrase"],
    )
    profile: Profile = Field(
        Profile.PRODUCTION, description="demo or production; production refuses a hub that is not reached by https."
    )
    root_fingerprint: RootFingerprint | None = Field(
        None,
        description="The programme root's fingerprint, if it is to be checked once more against the one that "
        "enrolment pinned.",
        examples=["00" * 32],
    )
    hub_url: Annotated[str, AfterValidator(_hub_url)] | None = Field(
        None,
        description="The hub's URL, if it is not the one of the enrolment any more. No other hub can take its place: "
        "its keys are pinned.",
        examples=["https://hub.example"],
    )
    proxy: Annotated[str, AfterValidator(_base_url)] | None = Field(
        None,
        description="The HTTP proxy by which the hub is reached.",
        examples=["http://proxy.agency.example:3128"],
    )
    proxy_credentials_file: ConfigPath | None = Field(
        None,
        description="The file with NAME:PASSWORD for the proxy, if it asks for them; readable by its owner only.",
        examples=["/etc/throughcare/proxy-credentials"],
    )
    ca_file: ConfigPath | None = Field(
        None,
        description="The certificates (PEM) to trust instead of the system's, where the hub's is from a private CA.",
        examples=["/etc/throughcare/ca.pem"],
    )
    host: Annotated[str, AfterValidator(_loopback)] = Field(
        "127.0.0.1", description="The loopback address on which the local interface is served."
    )
    port: int = Field(8450, ge=0, le=65_535, description="The port of the local interface; 0 takes a free one.")
    websocket: bool = Field(
        True, description="Whether to keep a websocket open; without it, or where it is blocked, the hub is polled."
    )
    poll_wait_s: int = Field(50, ge=0, le=50, description="Seconds that one poll of the mailbox waits for mail.")
    directory_every_s: int = Field(
        300, ge=1, le=43_200, description="Seconds between two looks at the directory's newest head."
    )
    envelope_days: int = Field(
        30,
        ge=1,
        le=40,
        description="Days that one envelope waits at the hub. Below the 44 days for which every recipient can still "
        "open it; then the message is sealed anew.",
    )
    message_days: int = Field(
        180, ge=1, le=366, description="Days after which a message that nobody opened is given up, visibly."
    )
    print_language: Annotated[str, Field(max_length=MAX_TAG), AfterValidator(_language)] = Field(
        ENGLISH,
        description="The official language and script in which messages are printed, English without it: "
        f"{', '.join(LANGUAGES)}.",
        examples=["sr-Cyrl"],
    )
    clock_file: ConfigPath | None = Field(
        None,
        description="For a demo only: a file that says how far the clock is ahead of the machine's, such as 14d.",
        examples=["/tmp/throughcare-demo/clock"],  # noqa: S108 - an example of a path, not one that is used
    )
    faults_file: ConfigPath | None = Field(
        None,
        description="For a demo only: a file that names troubles to be rehearsed, such as `drop 0.1`.",
        examples=["/tmp/throughcare-demo/faults"],  # noqa: S108 - as above
    )


class ConnectorSettings(Settings):
    """Everything that can be set for a connector."""

    connector: ConnectorSection
    calendar: CalendarSection
    webhooks: WebhooksSection
    drop: DropSection
    fhir: FhirSection
    log: LogSection


def load(path: Path, environment: Mapping[str, str]) -> Loaded[ConnectorSettings]:
    """Read and check the configuration file; raises ConfigurationError that says what to change."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError("The configuration file cannot be read; give its path with --config.") from None
    loaded = load_text(ConnectorSettings, text, environment, base=path.absolute().parent, others=OTHER_PROGRAMS)
    if loaded.settings.connector.clock_file and loaded.settings.connector.profile is not Profile.DEMO:
        raise ConfigurationError("In production the machine's clock is the only one: remove connector.clock_file.")
    if loaded.settings.connector.faults_file and loaded.settings.connector.profile is not Profile.DEMO:
        raise ConfigurationError("Production has troubles of its own: remove connector.faults_file.")
    if loaded.settings.connector.hub_url is not None:
        check_hub_url(loaded.settings.connector.profile, loaded.settings.connector.hub_url)
    return loaded


def proxy_url(url: str) -> str:
    """Return the proxy's `url` as it is kept, or raise ConfigurationError."""
    try:
        return _base_url(url)
    except ValueError as error:
        raise ConfigurationError(f"The proxy cannot be used: {error}.") from None


def check_hub_url(profile: Profile, url: str) -> str:
    """Return `url`, or raise ConfigurationError if the profile does not allow it."""
    parts = urlsplit(url)
    if parts.scheme == "https" or (profile is Profile.DEMO and parts.hostname and is_loopback(parts.hostname)):
        return url
    if profile is Profile.DEMO:
        raise ConfigurationError("A demo connector talks to a hub on its own machine, or to one by https.")
    raise ConfigurationError(
        "In production the hub is reached by https:// only. For a trial on one machine set connector.profile = demo."
    )
