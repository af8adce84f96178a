# SPDX-License-Identifier: Apache-2.0
"""Cases: threads as they stand, made from signed messages alone.

`threads` keeps each thread's row true to its moves, `moving` makes a move of our own, `clockwork` makes those of time.
Nothing here decides anything that `protocol.lifecycle` does not.
"""
