"""Originator consent: what a holder asks, what an originator answers, and the proof that both make.

==========  ====================================================================================
model       requests and grants, as values that check themselves
codec       their bytes
verify      from signed statements to values; whether an item may be passed on, for anybody to check
==========  ====================================================================================

Pure. Specification: docs/spec/policy.md, "Consent".
"""
