# SPDX-License-Identifier: Apache-2.0
"""The connector: an agency's own end of Throughcare, where people's records exist in clear.

It holds the agency's device keys and its case store, seals what goes out and opens what comes in, and
offers the agency's own systems a local API, a mapping file and a command line. It only dials out, may be
offline for weeks, and imports nothing of the hub: they meet in `protocol` and on the wire.
"""
