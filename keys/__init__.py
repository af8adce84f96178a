# SPDX-License-Identifier: Apache-2.0
"""Cryptography over bytes: signing, verifying and sealing for all, opening for connectors only.

The package knows `protocol` and nothing else. It never invents a primitive; it joins those of
`cryptography` and PyNaCl in the one way that `docs/protocol.md` fixes. What opens an envelope or a
keystore lives in modules of its own (`keys.opening`, `keys.keystore`), which the hub cannot import: an
import contract forbids it and a test starts the hub without them.
"""
