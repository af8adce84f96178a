# SPDX-License-Identifier: Apache-2.0
"""What the hub does: every transaction is owned here, and only the writer changes anything.

A service checks a request against the directory in memory, hands a change to the writer and waits until it
is committed, guarded and signed. Handlers in `hub.web` do no more than call one service.
"""
