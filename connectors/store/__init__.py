# SPDX-License-Identifier: Apache-2.0
"""The connector's durable memory: one SQLite file that the processes of one installation share.

`engine` opens it, `tables` says what is in it; the other modules are the only ways to a row, one for each
noun. Each of their functions takes the transaction; the caller owns it, so that what belongs together is
committed together (CON-1, CON-3).
"""
