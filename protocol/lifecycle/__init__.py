# SPDX-License-Identifier: Apache-2.0
"""Life cycles as tables: who may do what in which state, and what follows.

`machine` reads such a table and moves along it; `referral` and `handover` are the two tables of this project;
`walking` finds dead ends in any table, `drawing` makes its diagram, `foreign` reads another service's table.
Life cycles live at connectors: the hub sees none of it.
"""
