# SPDX-License-Identifier: Apache-2.0
"""Backups of a hub, and hubs from backups: `making` only seals, `restoring` alone may open (docs/adr/0013)."""
