"""Alembic runs this file: it binds the versions to the connection that `base.migrations` opened."""

from alembic import context
from sqlalchemy import Connection

from base.database import metadata

connection: Connection = context.config.attributes["connection"]

# SQLite cannot alter most things in place: alembic copies the table instead (`render_as_batch`).
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
