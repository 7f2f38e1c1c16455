"""The directory: who is in the exchange, with which keys, under which agreements.

An ordered log of signed statements that every node replays in full; state is a fold over it, so "which keys and rules
held at position N" has one answer everywhere. Pure. Specification: docs/spec/directory.md.

===========  ==================================================================
file         what
===========  ==================================================================
statements   every statement as a value
codec        statements as bytes, strict
state        records that the fold keeps, and questions by log position
layers       a mapping that is forked at no cost
rules        whether one entry is valid in the state just before it
changes      what a valid statement changes
fold         the Directory: apply, check, ask
relay_keys   which keys of the relay hold where
prekeys      daily bundles: build, verify, choose
ceremony     making the statements of founding, inviting, joining and admitting
issue        making the statements of a directory in use
===========  ==================================================================
"""
