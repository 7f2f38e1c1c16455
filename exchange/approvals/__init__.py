"""Approvals: what operators other than the author sign before a report is released, and how a recipient counts them."""
