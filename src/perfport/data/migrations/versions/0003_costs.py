"""Costs that nobody recorded: a table need not say how long its rows took, and that is not 0 s."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_KEY = ["environment_fingerprint", "configuration_key", "protocol", "block", "attempt"]
_ALL = (
    "id, environment_id, environment_fingerprint, configuration_key, protocol, block, configuration, status, "
    "repetitions, absent, conditions, reason, cost_s, started_at, attempt, grade, grade_reasons, log_se"
)


def upgrade() -> None:
    """Let a cost be absent, and take back those that an import without costs made up."""
    if op.get_bind().dialect.name == "sqlite":
        _rebuild()
    else:
        op.alter_column("measurement", "cost_s", nullable=True)
    op.execute("UPDATE measurement SET cost_s = NULL WHERE protocol = 'table' AND cost_s = 0")


def downgrade() -> None:
    """Refuse: the older schema has no way to say that a cost is not known."""
    raise NotImplementedError("costs that are absent have no place in the older schema; export the rows instead")


def _rebuild() -> None:
    """Copy the rows into a table whose cost may be absent, which SQLite cannot alter.

    The table that refers to it makes way first: with foreign keys enforced, its rows would keep the
    old one from being dropped.
    """
    op.create_table(
        "measurement_0003",
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
        sa.Column("cost_s", sa.Double, nullable=True),
        sa.Column("started_at", sa.String(40), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
        sa.Column("grade", sa.String(1), nullable=False, server_default=""),
        sa.Column("grade_reasons", sa.JSON, nullable=False, server_default="[]"),
        sa.Column("log_se", sa.JSON, nullable=False, server_default="{}"),
        sa.UniqueConstraint(*_KEY, name="uq_measurement"),
    )
    op.execute(f"INSERT INTO measurement_0003 ({_ALL}) SELECT {_ALL} FROM measurement")  # noqa: S608  # constants
    op.execute("CREATE TEMPORARY TABLE links AS SELECT campaign_id, measurement_id FROM campaign_measurement")
    op.drop_table("campaign_measurement")
    op.drop_table("measurement")
    op.rename_table("measurement_0003", "measurement")
    op.create_table(
        "campaign_measurement",
        sa.Column("campaign_id", sa.Integer, sa.ForeignKey("campaign.id"), primary_key=True),
        sa.Column("measurement_id", sa.Integer, sa.ForeignKey("measurement.id"), primary_key=True),
    )
    op.create_index("ix_campaign_measurement", "campaign_measurement", ["measurement_id"])
    op.execute(
        "INSERT INTO campaign_measurement (campaign_id, measurement_id) SELECT campaign_id, measurement_id FROM links"
    )
    op.execute("DROP TABLE links")
