# SPDX-License-Identifier: Apache-2.0
"""Alembic's entry point: it runs the steps in the transaction that `connectors.store.engine` has open."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
