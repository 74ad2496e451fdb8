"""What Alembic runs for each upgrade: on the connection it is given, inside the transaction that is open.

Only `perfport.data.database` starts it. There is no offline mode and no logging set-up: a library
must not change how the program around it logs.
"""

from alembic import context

from perfport.data.records import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
