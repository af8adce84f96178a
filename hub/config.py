# SPDX-License-Identifier: Apache-2.0
"""The hub's configuration: what can be set, what it means, and what the production profile refuses."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from protocol.errors import ConfigurationError
from protocol.limits import HASH, MAX_LIFE
from protocol.settings import (
    ConfigPath,
    Loaded,
    LogSection,
    Profile,
    RootFingerprint,
    Section,
    Settings,
    is_loopback,
    load,
)

DATABASE_NAME = "hub.db"
GUARD_NAME = "hub.guard"
CLOCK_NAME = "hub.clock"
BLOBS_NAME = "blobs"
RESTORING_PREFIX = ".restoring-"
"""How the folders begin in which a restore prepares what is to be."""
VERIFYING_PREFIX = "throughcare-hub-backup-"
"""How those begin in which a backup is opened to be checked, among the temporary files."""
OTHER_PROGRAMS = ("connector", "calendar", "webhooks", "drop", "fhir", "ui", "matrix")
"""Sections of one shared file that other programs read."""

_HTTPS = 443
_LEAST_RETENTION_DAYS = MAX_LIFE // 86_400_000 + 34
"""A replay must be known as such for the whole life of an envelope, and a month longer."""


def _url(value: str) -> str:
    parts = urlsplit(value)
    plain = parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment)
    if not plain or parts.path not in ("", "/") or parts.username:
        raise ValueError("write the URL as https://name or https://name:port, without a path")
    return value.rstrip("/")


def _database(value: str) -> str:
    parts = urlsplit(value)
    named = parts.scheme == "postgresql" and parts.hostname and parts.username and len(parts.path) > 1
    if not named or parts.password or parts.query or parts.fragment:
        raise ValueError("write the database as postgresql://user@host/name or postgresql://user@host:port/name")
    return value


class HubSection(Section):
    """`[hub]`: who this hub is and where it listens."""

    domain: str = Field(
        description="The hub's domain: the part after @ in every address, and the name in both logs' origins.",
        examples=["hub.example"],
        pattern=r"^[a-z0-9.-]{1,100}$",
    )
    data_dir: ConfigPath = Field(
        description="The folder for the database, the guard file and the sealed keys. Keep it on a local disk.",
        examples=["/var/lib/throughcare-hub"],
    )
    profile: Profile = Field(
        Profile.PRODUCTION, description="demo or production; production refuses demo keys and plain HTTP."
    )
    root_fingerprint: RootFingerprint | None = Field(
        None,
        description="The programme root's fingerprint, received from the authority by hand. The hub does not run "
        "without it, and accepts no other directory.",
        examples=["00" * HASH],
    )
    host: str = Field(
        "127.0.0.1",
        description="The address on which connectors are served. A hub with a certificate of its own needs one that "
        "others reach, such as 0.0.0.0 for every IPv4 address of the machine.",
    )
    port: int = Field(
        8440,
        ge=0,
        le=65_535,
        description="The port for connectors; 0 takes a free one. Without a proxy the one in public_url, 443 if it "
        "names none.",
    )
    admin_host: str = Field("127.0.0.1", description="The address for health checks and metrics. Never public.")
    admin_port: int = Field(8441, ge=0, le=65_535, description="The port for health checks and metrics.")
    public_url: Annotated[str, AfterValidator(_url)] | None = Field(
        None,
        description="The URL by which connectors reach the hub, as they see it: they sign it with every request. In "
        "production it must be set; a demo does with http://localhost and the port.",
        examples=["https://hub.example"],
    )
    behind_proxy: bool = Field(
        False,
        description="A proxy on this machine ends TLS and passes requests on over the loopback interface, with the "
        "Host header and the path as they came.",
    )
    proxy_header: str = Field(
        "X-Forwarded-For",
        pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$",
        description="The header in which that proxy says who calls, for [limits]; its last address counts, and a "
        "port behind it does not. Without behind_proxy no header is believed.",
    )
    clock_file: ConfigPath | None = Field(
        None,
        description="For a demo only: a file that says how far the clock is ahead of the machine's, such as 14d.",
        examples=["/tmp/throughcare-demo/clock"],  # noqa: S108 - an example of a path, not one that is used
    )
    passphrase_file: ConfigPath | None = Field(
        None,
        description="The file with the passphrase of the signing keys, readable by its owner only.",
        examples=["/etc/throughcare/hub-passphrase"],
    )
    credentials_directory: ConfigPath | None = Field(
        None,
        description="A folder of systemd credentials with the signing keys (throughcare-hub-keys), instead of "
        "sealed keys and a passphrase.",
        examples=["/run/credentials/throughcare-hub.service"],
    )


class StoreSection(Section):
    """`[store]`: the hub's database."""

    url: Annotated[str, AfterValidator(_database)] | None = Field(
        None,
        description="A PostgreSQL database, which several hub processes may share. Without it the hub keeps a SQLite "
        "file in its data_dir. The password does not belong here.",
        examples=["postgresql://throughcare@db.example/throughcare"],
    )
    password_file: ConfigPath | None = Field(
        None,
        description="The file with the database user's password, readable by its owner only.",
        examples=["/etc/throughcare/database-password"],
    )
    ca_file: ConfigPath | None = Field(
        None,
        description="The certificate (PEM) by which a database on another machine is known, instead of those that "
        "the system trusts. The way to it is always encrypted.",
        examples=["/etc/throughcare/database-ca.pem"],
    )
    queue_length: int = Field(
        2_000, ge=64, le=100_000, description="Changes that may wait for the writer before the hub asks to retry."
    )
    queue_megabytes: int = Field(64, ge=4, le=4_096, description="Megabytes that may wait for the writer.")
    attachment_gigabytes: int = Field(
        16, ge=2, le=65_536, description="Gigabytes of attachments that one agency may have waiting at the hub."
    )


class LimitsSection(Section):
    """`[limits]`: what one agency or one network address may use, so that none holds up the others."""

    submissions_per_minute: int = Field(
        30_000, ge=60, le=10_000_000, description="Envelopes that one agency may submit in a minute, all at once if so."
    )
    megabytes_per_minute: int = Field(
        4_096, ge=64, le=1_000_000, description="Megabytes of envelopes and attachments that one agency may send."
    )
    reads_per_minute: int = Field(
        12_000, ge=60, le=10_000_000, description="Mailbox pages and pieces of attachments that one agency may fetch."
    )
    megabytes_read_per_minute: int = Field(
        4_096,
        ge=64,
        le=1_000_000,
        description="Megabytes of messages, each counted as 32 KiB at least, and of attachments that one agency may "
        "fetch.",
    )
    uploads_per_minute: int = Field(
        12_000, ge=60, le=10_000_000, description="Pieces of attachments that one agency may send, of 1 MiB each."
    )
    stranger_requests_per_minute: int = Field(
        3_000,
        ge=60,
        le=10_000_000,
        description="Requests without a device's good signature from one address: IPv4, or the first 64 bits of IPv6.",
    )
    waiting_messages: int = Field(
        200_000, ge=16, le=100_000_000, description="Messages of one agency that may wait for their recipients."
    )
    waiting_gigabytes: int = Field(
        16, ge=1, le=65_536, description="Gigabytes of one agency's messages that may wait, without attachments."
    )
    waiting_messages_per_recipient: int = Field(
        50_000, ge=16, le=100_000_000, description="Messages of one agency that may wait for one recipient's device."
    )
    waiting_megabytes_per_recipient: int = Field(
        2_048, ge=64, le=10_000_000, description="Megabytes of one agency's messages for one recipient's device."
    )
    waiting_attachments: int = Field(
        50_000, ge=16, le=10_000_000, description="Attachments that one agency may have waiting at the hub."
    )
    waiting_attachment_readers: int = Field(
        200_000,
        ge=16,
        le=100_000_000,
        description="Recipients for whom attachments of one agency may wait, each counted once for each attachment.",
    )
    connections_per_address: int = Field(
        1_024, ge=16, le=100_000, description="Connections of one address at the same time; behind a proxy, its task."
    )


class TlsSection(Section):
    """`[tls]`: the hub's own certificate, if it ends TLS itself."""

    certificate_file: ConfigPath | None = Field(
        None, description="The hub's certificate chain (PEM).", examples=["/etc/throughcare/hub.pem"]
    )
    key_file: ConfigPath | None = Field(
        None, description="The certificate's private key (PEM).", examples=["/etc/throughcare/hub-key.pem"]
    )


class RetentionSection(Section):
    """`[retention]`: how long evidence is kept."""

    evidence_days: int = Field(
        1_095,
        ge=_LEAST_RETENTION_DAYS,
        le=36_500,
        description="Days for which digests, receipts and replay rows are kept. The leaves of the log stay for good.",
    )


class HubSettings(Settings):
    """Everything that can be set for a hub."""

    hub: HubSection
    store: StoreSection
    limits: LimitsSection
    tls: TlsSection
    retention: RetentionSection
    log: LogSection


def load_settings(path: Path, environment: Mapping[str, str]) -> Loaded[HubSettings]:
    """Read and check the configuration file; raises ConfigurationError that says what to change."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError("The configuration file cannot be read; give its path with --config.") from None
    loaded = load(HubSettings, text, environment, base=path.absolute().parent, others=OTHER_PROGRAMS)
    check(loaded.settings)
    return loaded


def check(settings: HubSettings) -> None:
    """Refuse what contradicts itself, and in production what only a demo may do."""
    hub, tls = settings.hub, settings.tls
    if (tls.certificate_file is None) != (tls.key_file is None):
        raise ConfigurationError("tls.certificate_file and tls.key_file belong together; set both or neither.")
    if (hub.passphrase_file is None) == (hub.credentials_directory is None):
        raise ConfigurationError(
            "Set one of hub.passphrase_file and hub.credentials_directory: where the signing keys come from."
        )
    if not is_loopback(hub.admin_host):
        raise ConfigurationError("hub.admin_host must be an address of the loopback interface.")
    if hub.profile is Profile.DEMO:
        if not is_loopback(hub.host):
            raise ConfigurationError("A demo hub serves its own machine only: hub.host must be 127.0.0.1 or ::1.")
        return
    if hub.clock_file is not None:
        raise ConfigurationError("In production the machine's clock is the only one: remove hub.clock_file.")
    if tls.certificate_file is None and not (hub.behind_proxy and is_loopback(hub.host)):
        raise ConfigurationError(
            "In production the hub needs tls.certificate_file and tls.key_file, or hub.behind_proxy = true with "
            "hub.host on the loopback interface."
        )
    if hub.public_url is None or not hub.public_url.startswith("https://"):
        raise ConfigurationError("In production hub.public_url must be set, and begin with https://.")


def doubts(settings: HubSettings) -> Iterator[str]:
    """Yield what is permitted and most likely not meant; with what to set instead, as a second sentence."""
    hub = settings.hub
    if hub.profile is Profile.DEMO or hub.behind_proxy or hub.public_url is None:
        return
    port = urlsplit(hub.public_url).port or _HTTPS
    if is_loopback(hub.host):
        yield (
            "The hub has a certificate of its own, and only this machine reaches it. Set hub.host to 0.0.0.0 or to one "
            "address of this machine, and hub.port to that in hub.public_url; or hub.behind_proxy, if a proxy ends TLS."
        )
    elif port != hub.port:
        yield (
            f"Connectors call port {port} by hub.public_url, and the hub listens on {hub.port}. Set hub.port, or have "
            "the one passed on to the other."
        )


def pinned_root(settings: HubSettings) -> bytes:
    """Return the pinned root fingerprint, 32 bytes; without one the hub does not run (DIR-4)."""
    if settings.hub.root_fingerprint is None:
        raise ConfigurationError(
            "hub.root_fingerprint is not set. Ask the authority for it (`throughcare authority show` prints it), "
            "and write it into the configuration by hand."
        )
    return bytes.fromhex(settings.hub.root_fingerprint)
