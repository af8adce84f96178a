# SPDX-License-Identifier: Apache-2.0
"""The hub: carries sealed envelopes between agencies and keeps evidence, without being able to read them.

Requests come in through `hub.web`, which asks `hub.service`, which owns every transaction on
`hub.store`; `hub.jobs` does what time demands. `hub.checked` opens what is stored and finds it sound before
anything is served or signed, and `hub.watching` is what the operator sees. `hub.app` puts the parts together
and is the only module that knows them all; `hub.serving` runs them as one process. The hub holds ciphertext,
routing data and its own signing key, never a key that opens anything.
"""
