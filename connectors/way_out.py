# SPDX-License-Identifier: Apache-2.0
"""How this machine gets out to the hub: through which proxy, with which name and password, trusting which certificates.

Connectors only ever dial out, from networks that others run; so everything that dials out takes the same three
settings: the running connector from its configuration, `throughcare enrol` and `restore` from their options.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from connectors.config import ConnectorSection
from keys.privatefile import read_private
from protocol.errors import ConfigurationError
from protocol.http.calling import new_session

_MAX_CREDENTIALS = 4_096


@dataclass(frozen=True, slots=True)
class WayOut:
    """The way: a proxy's URL, the file with NAME:PASSWORD for it, and a file of PEM certificates to trust."""

    proxy: str | None = None
    proxy_credentials_file: Path | None = None
    ca_file: Path | None = None

    @classmethod
    def of(cls, settings: ConnectorSection) -> "WayOut":
        """Return the way that a configuration says."""
        return cls(settings.proxy, settings.proxy_credentials_file, settings.ca_file)

    def session(self, *, use_environment: bool = False, url: str | None = None) -> aiohttp.ClientSession:
        """Return a session that goes this way; `ConfigurationError` for files that cannot be used.

        With `use_environment` it takes what is not named here from HTTPS_PROXY and SSL_CERT_FILE, as visitors do. Who
        asks nobody but `url` may say so: if that is without TLS, the certificates of authorities are not read, which
        takes longer than asking.
        """
        plain = url is not None and url.startswith("http://")
        # Made now, since aiohttp's own context was made when it was imported, whatever SSL_CERT_FILE says.
        tls = self._trusted() if self.ca_file is not None or (use_environment and not plain) else True
        by_environment = use_environment and self.proxy is None
        return new_session(
            tls=tls, proxy=self.proxy, proxy_credentials=self._credentials(), use_proxy_settings=by_environment
        )

    def check(self) -> None:
        """Read the files that a session would be made of; raises what `session` would."""
        self._trusted()
        self._credentials()

    def _trusted(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                "The file in connector.ca_file (or --ca-file) cannot be read as PEM certificates."
            ) from error

    def _credentials(self) -> tuple[str, str] | None:
        path = self.proxy_credentials_file
        if path is None:
            return None
        if self.proxy is None:
            raise ConfigurationError("connector.proxy_credentials_file is for a proxy: set connector.proxy as well.")
        raw = read_private(path, _MAX_CREDENTIALS, "proxy credentials file", ConfigurationError)
        name, colon, password = raw.decode("utf-8", errors="replace").strip().partition(":")
        if not (name and colon) or "\n" in password:
            raise ConfigurationError(f"The file {path} does not hold one line NAME:PASSWORD.")
        return name, password
