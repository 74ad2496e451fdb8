"""The first schema: environments, properties, campaigns, measurements.

A migration never changes once it is released; it spells the tables out, so that later changes to
`perfport.data.records` do not rewrite the past.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "environment",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("fingerprint", sa.String(16), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("facets", sa.JSON, nullable=False),
        sa.UniqueConstraint("fingerprint", "name", name="uq_environment"),
    )
    op.create_table(
        "property",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("environment_fingerprint", sa.String(16), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("direction", sa.String(16), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.UniqueConstraint("environment_fingerprint", "name", name="uq_property"),
    )
    op.create_table(
        "campaign",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("created_at", sa.String(40), nullable=False),
        sa.UniqueConstraint("name", name="uq_campaign"),
    )
    op.create_table(
        "measurement",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("environment_id", sa.Integer, sa.ForeignKey("environment.id"), nullable=False),
        sa.Column("environment_fingerprint", sa.String(16), nullable=False),
        sa.Column("configuration_key", sa.String(16), nullable=False),
        sa.Column("protocol", sa.Text, nullable=False),
        sa.Column("block", sa.Integer, nullable=False),
        sa.Column("configuration", sa.JSON, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("repetitions", sa.JSON, nullable=False),
        sa.Column("absent", sa.JSON, nullable=False),
        sa.Column("conditions", sa.JSON, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("cost_s", sa.Double, nullable=False),
        sa.Column("started_at", sa.String(40), nullable=False),
        sa.UniqueConstraint(
            "environment_fingerprint", "configuration_key", "protocol", "block", name="uq_measurement"
        ),
    )
    op.create_table(
        "campaign_measurement",
        sa.Column("campaign_id", sa.Integer, sa.ForeignKey("campaign.id"), primary_key=True),
        sa.Column("measurement_id", sa.Integer, sa.ForeignKey("measurement.id"), primary_key=True),
    )
    op.create_index("ix_campaign_measurement", "campaign_measurement", ["measurement_id"])


def downgrade() -> None:
    """Refuse: measurements are never dropped by a tool."""
    raise NotImplementedError("the first schema cannot be undone; delete the store instead")
