"""The relay: stores sealed envelopes, forwards them, and answers for it with promises and two logs.

It holds no key that opens anything. What it accepts, and on what grounds, anyone can check offline.

=============  ====================================================================
file           what
=============  ====================================================================
cli            `concord relay init | serve | status`
home, config   the relay's directory, configuration and keys
app            builds everything and runs it
services/      the gRPC edges: for partners, for those who join, for the operator
submit         the checks of one frame of submissions, in order; its answers
sequencer      positions in both logs, trees, checkpoints
mailbox        what waits for whom; waking those who listen
deliver        one partner's delivery stream
enrol          joining, statements, prekeys, agreements
directory      the replayed directory and the views, as the relay judges by them
together       what several processes on one database tell each other
continuity     stops a relay whose store has lost entries
retention      deletes what everybody has, and what has expired
store/         tables, migrations, SQL
=============  ====================================================================
"""

from exchange.runtime.grpc_environment import set_grpc_environment

set_grpc_environment()
