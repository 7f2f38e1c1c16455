"""The sharing rules: what a label says, what an agreement permits, and who may therefore receive a report.

model (labels and releases), terms (agreements as data), strict_yaml, fields and text (labels as people write them),
agreement_text (agreements as people write them), agreement (views and commitments), codec (bytes), decide (the
decision), relay_label (what the relay reads of a label), explain (sentences for people).
Pure. Specification: docs/spec/policy.md.
"""
