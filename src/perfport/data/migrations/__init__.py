"""Alembic migrations of the store, run by `perfport.data.database` when a store is opened."""
