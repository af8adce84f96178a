# SPDX-License-Identifier: Apache-2.0
"""Every HTTP operation of the hub and of the connector, written down once as data.

The hub's routes, the connector's client, the local API and the OpenAPI documents are all made from
these operations, so they cannot drift apart. Problem documents and request signatures belong here too.
This is the one place below the programs where aiohttp may be imported.
"""
