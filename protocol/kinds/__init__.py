# SPDX-License-Identifier: Apache-2.0
"""The kinds of messages that agencies send each other: strict models of section 0, each with a version.

A published version never changes (KIND-4). `catalogue.KINDS` names all kinds; each family has a module of its own.
What a kind may carry beside its payload are sections, whose forms stand in `protocol.bodies`.
"""
