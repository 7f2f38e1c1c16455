"""Envelopes: a report sealed for its recipients, and the checks of those who pass it on or open it.

model (what there is), codec (bytes), seal (sender), verify (relay), open (recipient); binding holds the byte strings
that tie the parts together, rules what every reader of a header checks. Specification: docs/spec/envelope.md.
"""
