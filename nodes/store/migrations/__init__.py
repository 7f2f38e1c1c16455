"""Migrations of the node's store, run by exchange.runtime.migrate at the start."""
