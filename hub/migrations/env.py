# SPDX-License-Identifier: Apache-2.0
"""Run by Alembic: work inside the transaction that the caller has open."""

from alembic import context

from hub.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
