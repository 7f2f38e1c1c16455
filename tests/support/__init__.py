"""Builders and doubles that the tests share."""
