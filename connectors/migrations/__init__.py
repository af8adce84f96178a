# SPDX-License-Identifier: Apache-2.0
"""Every form that the store ever had, and the steps between them (Alembic)."""

from typing import Final

NEWEST: Final = "0033"
"""The revision that this program works with."""
