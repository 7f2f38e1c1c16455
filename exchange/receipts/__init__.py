"""What each party signs about an envelope or an item, from the relay's promise to the originator's retraction.

Pure. Specification: docs/spec/receipts.md.

===========  ==================================================================
file         what
===========  ==================================================================
model        the values, each valid once it exists
checks       what the values' fields may hold
codec        values as bytes
streams      the running hash of a stream
verify       signed statements to values; evidence that holds offline
===========  ==================================================================
"""
