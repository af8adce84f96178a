# SPDX-License-Identifier: Apache-2.0
"""The hub's database: tables, connections and statements. Whoever calls owns the transaction (`hub.service`).

The functions here take an open `sqlalchemy.Connection` and run inside the caller's transaction. They know
no dialect, so that the same code serves SQLite and PostgreSQL; only the modules `sqlite` and `postgres` differ.
"""
