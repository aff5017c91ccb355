"""Numbered migrations of the store, run by alembic when an older store is opened for writing."""
