"""Runs migrations on the connection that `connector.adapters.migrations.__main__` hands over."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
