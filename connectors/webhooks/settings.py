# SPDX-License-Identifier: Apache-2.0
"""`[webhooks]`: who is told of events. Only hosts that are named here are ever called (EVT-4)."""

from urllib.parse import urlsplit

from pydantic import Field, model_validator

from protocol.settings import ConfigPath, Section, is_loopback


class WebhooksSection(Section):
    """`[webhooks]`: addresses, and the secrets that sign what they get."""

    urls: tuple[str, ...] = Field(
        (),
        description="The addresses that each event is posted to; none by default. https, or http on this machine.",
        examples=[["https://cases.agency.example/throughcare"]],
        max_length=10,
    )
    hosts: tuple[str, ...] = Field(
        (),
        description="The only hosts that webhooks may go to, each as it stands in its URL, with the port if there is "
        "one.",
        examples=[["cases.agency.example"]],
        max_length=10,
    )
    secret_file: ConfigPath | None = Field(
        None,
        description="The file with the secret (whsec_ and base64 of 24 to 64 bytes) that signs webhooks; readable by "
        "its owner only.",
        examples=["/etc/throughcare/webhook-secret"],
    )
    old_secret_file: ConfigPath | None = Field(
        None,
        description="The file with the secret before, while a receiver may still know only that one.",
        examples=["/etc/throughcare/webhook-secret-old"],
    )
    ca_file: ConfigPath | None = Field(
        None,
        description="The certificates (PEM) to trust instead of the system's, where a receiver's is from a private CA.",
        examples=["/etc/throughcare/agency-ca.pem"],
    )
    timeout_s: int = Field(15, ge=1, le=60, description="Seconds that a receiver has to answer.")

    @model_validator(mode="after")
    def _usable(self) -> "WebhooksSection":
        for url in self.urls:
            _check(url, self.hosts)
        if self.urls and self.secret_file is None:
            raise ValueError("webhooks.secret_file must be set: what nobody signed, no receiver can believe")
        return self


def _check(url: str, hosts: tuple[str, ...]) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ValueError("each of webhooks.urls begins with https://, or with http:// on this machine itself")
    if not host or "@" in parts.netloc or parts.fragment:
        raise ValueError("no user, no password and no fragment stand in webhooks.urls")
    if parts.netloc.lower() not in {one.lower() for one in hosts}:
        raise ValueError("each host of webhooks.urls, with its port, must also stand in webhooks.hosts")
