# SPDX-License-Identifier: Apache-2.0
"""The rules of Throughcare as values: what is sent, what is allowed, what follows from what.

Everything here is pure. A function takes bytes, values and the time it is to assume, and returns a value
or raises one error of `protocol.errors`; it opens no file, no socket and no database, and it asks no
clock. That is why every part can use it, why it can be tested completely, and why another team could
write a second implementation from `docs/protocol.md` alone. Only `protocol.http` knows about HTTP.
"""
