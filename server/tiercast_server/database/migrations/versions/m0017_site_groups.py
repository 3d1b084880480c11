"""Jobs whose groups are held at gateways."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.create_table(
        "site_jobs",
        sa.Column("job", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("vouchers", sa.LargeBinary(), nullable=False),
        sa.Column("ended", sa.Boolean(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_site_jobs")),
    )
    op.create_table(
        "site_strays",
        sa.Column("job", sa.String(length=32), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("job", "node", name=op.f("pk_site_strays")),
    )
