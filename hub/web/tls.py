# SPDX-License-Identifier: Apache-2.0
"""TLS ended by the hub itself, where no proxy does it."""

import ssl

from hub.config import HubSettings
from protocol.errors import ConfigurationError


def tls_context(settings: HubSettings) -> ssl.SSLContext | None:
    """Return the context for TLS 1.3 with the configured certificate, or None; raises ConfigurationError."""
    certificate, key = settings.tls.certificate_file, settings.tls.key_file
    if certificate is None or key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError):
        raise ConfigurationError("tls.certificate_file or tls.key_file cannot be read as PEM.") from None
    return context


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
