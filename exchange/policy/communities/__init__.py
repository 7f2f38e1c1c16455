"""Communities: groups with epochs, whose roster only those see who must.

==========  ================================================================================
model       heads, members, memberships and notices, as values that check themselves
codec       their bytes
roster      the tree over the members: making one, proving a seat, checking all of it
verify      from signed bytes to an epoch that is known here
route       step 3 of the decision: whom a community reaches, and by way of which epoch
==========  ================================================================================

The owner alone decides who is in. Each change is a new epoch; the directory shows which one is in force, and nothing
else. Pure. Specification: docs/spec/policy.md, "Communities".
"""
