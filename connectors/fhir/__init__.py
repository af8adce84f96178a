# SPDX-License-Identifier: Apache-2.0
"""Referrals in FHIR R4: bundles of Task and ServiceRequest in, and how a referral stands out (docs/fhir.md).

Nothing here reads the network: a reference leads to another resource of the same bundle or it leads nowhere.

    imported = import_bundle(Path("bundle.json").read_bytes(), services)
    bundle = export_thread(await client.thread(thread))
"""
