# SPDX-License-Identifier: Apache-2.0
"""TLS ended by the hub itself, where no proxy does it."""

import ssl
from pathlib import Path

from hub.config import HubSettings
from protocol.errors import ConfigurationError


def tls_context(settings: HubSettings) -> ssl.SSLContext | None:
    """Return the context for TLS 1.3 with the configured certificate, or None; raises ConfigurationError."""
    certificate, key = settings.tls.certificate_file, settings.tls.key_file
    if certificate is None or key is None:
        return None
    for name, path in (("tls.certificate_file", certificate), ("tls.key_file", key)):
        _check_readable(name, path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError):
        raise ConfigurationError("tls.certificate_file or tls.key_file cannot be read as PEM.") from None
    return context


def _check_readable(name: str, path: Path) -> None:
    """Raise `ConfigurationError` that says which file cannot be read, which OpenSSL does not tell.

    A key that root's `check` has read is, under systemd, not the key that the unit's own user reads.
    """
    try:
        path.open("rb").close()
    except PermissionError:
        raise ConfigurationError(
            f"This user may not read {name}. Under systemd the unit hands a key over (LoadCredential=tls-key:…), and "
            "the certificate is readable by all."
        ) from None
    except OSError:
        raise ConfigurationError(f"{name} cannot be read. Check its path.") from None


def certificate_end(settings: HubSettings) -> int | None:
    """Return when the configured certificate ends, in ms UTC; None without one, or if it cannot be read."""
    path = settings.tls.certificate_file
    if path is None:
        return None
    from cryptography import x509  # noqa: PLC0415 - a hub behind a proxy has no certificate to look at

    try:
        return int(x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp()) * 1_000
    except (OSError, ValueError):
        return None
