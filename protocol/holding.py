# SPDX-License-Identifier: Apache-2.0
"""What is promised for every field: how long it is kept, and what a subject access request is answered (KIND-2).

A field declares its data category; the category decides both, and a field that needs another answer declares it
itself. The table is a proposal that each jurisdiction confirms; a test refuses a category that has no line.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from protocol.clearance import Category


class Retention(StrEnum):
    """Until when something is kept."""

    EVIDENCE = "evidence"
    """As long as the evidence: it names nobody, and proves what was done."""
    CASE = "case"
    """Until the retention of the closed case ends."""
    PURPOSE = "purpose"
    """Until its purpose is met; at the latest when the case is closed."""
    SECTION = "section"
    """As its section's category says."""


class Access(StrEnum):
    """What the person is told who asks what is held."""

    DISCLOSE = "disclose"
    EXPLAIN = "explain"
    """What it means is told; the record itself may stay back, with a recorded reason."""
    RESTRICT = "restrict"
    """May be refused, or neither confirmed nor denied, with a recorded reason and a date of review."""
    THIRD_PARTY = "third-party"
    """Only with the consent of the other person whom it is about."""
    SECTION = "section"
    """As its section's category says."""


class Policy(NamedTuple):
    """Both promises."""

    retention: Retention
    access: Access


STATE = "state"
"""The category of a field of section 0: machine state for every recipient."""
SAME_AS_SECTION = "section"
"""The category of a field whose section may stand under several categories."""

POLICY: Mapping[str, Policy] = {
    STATE: Policy(Retention.EVIDENCE, Access.DISCLOSE),
    SAME_AS_SECTION: Policy(Retention.SECTION, Access.SECTION),
    Category.IDENTITY: Policy(Retention.CASE, Access.DISCLOSE),
    Category.CONTACT: Policy(Retention.CASE, Access.DISCLOSE),
    Category.LOCATION: Policy(Retention.CASE, Access.DISCLOSE),
    Category.SENTENCE: Policy(Retention.CASE, Access.DISCLOSE),
    Category.OFFENCE: Policy(Retention.CASE, Access.DISCLOSE),
    Category.RISK_SUMMARY: Policy(Retention.CASE, Access.EXPLAIN),
    Category.INSTRUMENT_ITEMS: Policy(Retention.CASE, Access.EXPLAIN),
    Category.INTELLIGENCE: Policy(Retention.CASE, Access.RESTRICT),
    Category.MEDICAL: Policy(Retention.CASE, Access.DISCLOSE),
    Category.VICTIM: Policy(Retention.CASE, Access.THIRD_PARTY),
    Category.THIRD_PARTY: Policy(Retention.PURPOSE, Access.THIRD_PARTY),
    Category.IDEOLOGY: Policy(Retention.CASE, Access.EXPLAIN),
    Category.RELIGION: Policy(Retention.PURPOSE, Access.DISCLOSE),
    Category.PSYCHOLOGY: Policy(Retention.CASE, Access.EXPLAIN),
    Category.PLAN_GOALS: Policy(Retention.CASE, Access.DISCLOSE),
    Category.NEEDS: Policy(Retention.CASE, Access.DISCLOSE),
    Category.REFERRALS: Policy(Retention.CASE, Access.DISCLOSE),
    Category.APPOINTMENTS: Policy(Retention.PURPOSE, Access.DISCLOSE),
    Category.ATTENDANCE: Policy(Retention.CASE, Access.DISCLOSE),
    Category.AUDIT_LOG: Policy(Retention.EVIDENCE, Access.RESTRICT),
    Category.STAFF_CONTACT: Policy(Retention.PURPOSE, Access.THIRD_PARTY),
}
"""The promises of each category."""
