"""What a recipient asks for that never came, and what its sender answers. Pure.

Specification: docs/spec/receipts.md, "What never came".

===========  ==================================================================
file         what
===========  ==================================================================
model        the values, each valid once it exists
codec        values as bytes
verify       signed statements to values
===========  ==================================================================
"""
