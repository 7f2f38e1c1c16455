"""Migrations of the relay's store, run by exchange.runtime.migrate at the start."""
