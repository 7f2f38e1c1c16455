"""Tables of node.db for the sharing rules: operators, approvals, communities, consent, notices, decisions.

What stands in clear here is listed in docs/spec/node-store.md.
"""
