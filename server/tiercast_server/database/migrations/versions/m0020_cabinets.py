"""Who may look into a cabinet and change what is in it; which packages were tested, where and by which job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.add_column("cabinets", sa.Column("readers", sa.Text(), nullable=False, server_default=""))
    op.add_column("cabinets", sa.Column("writers", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "package_tests",
        sa.Column("package", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("job", sa.String(length=32), nullable=False),
        sa.Column("undo", sa.String(length=32), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("tested_by", sa.String(length=255), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["package"], ["packages.id"], name=op.f("fk_package_tests_package_packages"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("package", name=op.f("pk_package_tests")),
    )
