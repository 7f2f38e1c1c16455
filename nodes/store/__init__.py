"""What a node keeps: SQLAlchemy Core tables, functions on an open transaction, frozen dataclasses out.

Store functions are synchronous and promise nothing about durability; `await database.write(fn)` does (PROTOCOL 5).
What is searchable in clear, and what is encrypted: docs/spec/node-store.md.

===========  ==================================================================
file         what
===========  ==================================================================
tables       the tables of node.db
rows         what the functions return
reports      reports, who gets them, their story, retractions, idempotency keys
sending      sealed envelopes, sequence numbers, control statements, promises
receiving    envelopes received, cursors, receipts, quarantine
approvals    who wrote a report and who approved it
history      what was sent before, for comparison
trust        the mirrored directory, checkpoints, prekey bundles, agreements
alarms       what an operator must look at
decisions    decisions that counted, sealed
recalls      who was asked to withdraw something of ours, and who confirmed
holding      reports in keeping: exports, what is overdue, what a person decides
blobs        files of reports: what is here, to be fetched, to be uploaded
keys         keys.db: keys of reports and prekeys, which can be destroyed
===========  ==================================================================
"""

MIGRATIONS = "nodes.store.migrations"
"""The package of its migrations."""
