# SPDX-License-Identifier: Apache-2.0
"""Network addresses as what calls are counted by (HTTP-14, HTTP-16)."""

import ipaddress
import re

_NETWORK_V6 = 64
"""Bits of an IPv6 address that tell one site from another; within them one machine has as many as it likes."""

_AS_PROXIES_WRITE_IT = re.compile(r"\[(?P<v6>[^\[\]]+)\](:[0-9]{1,5})?|(?P<v4>[0-9.]+):[0-9]{1,5}")
"""An address with a port, or an IPv6 address in brackets."""


def network_of(text: str) -> str:
    """Return the one spelling of the network that `text` names an address of, or nothing if it is none.

    A port behind the address is of no account: some proxies write it, and a caller has as many as it likes.
    """
    if written := _AS_PROXIES_WRITE_IT.fullmatch(text):
        text = written["v6"] or written["v4"]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, _NETWORK_V6), strict=False).network_address)
    return str(address)
