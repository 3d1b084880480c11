"""Run by Alembic, with the connection that `migrate.upgrade` put into the configuration."""

from __future__ import annotations

from alembic import context

from tiercast_server.database.assignment_tables import assignments
from tiercast_server.database.plan_tables import plans
from tiercast_server.database.rollout_tables import rollouts
from tiercast_server.database.site_tables import site_jobs

# Batch mode: SQLite can't alter most things in place; on PostgreSQL it is plain ALTER TABLE.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=[rollouts.metadata, assignments.metadata, plans.metadata, site_jobs.metadata],
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
