"""What happens to an agreement after its founders signed it: accessions, suspensions, resumptions, departures.

model.py has the statements, codec.py their bytes, course.py what each makes of the agreement, verify.py who signed it.
Specification: docs/spec/policy.md, "After the signatures".
"""
