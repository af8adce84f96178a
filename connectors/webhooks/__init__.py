# SPDX-License-Identifier: Apache-2.0
"""Webhooks: telling the agency's other programs of events, as Standard Webhooks say (EVT-4 to EVT-6)."""
