"""Whether anything is lost while everything breaks: `python -m tests.chaos`.

Nodes and two relays on one PostgreSQL run as processes. Reports are pushed on all lanes, to changing audiences, some
with files and some to correct others, while at random processes are killed with -9 or frozen, the ways between nodes
and relays are cut, clocks jump, and the database is killed. Then all of it is mended, and every report must be with
exactly the partners that it is for, once, as it was pushed, with a receipt for each; every promise must stand in the
log, a quorum of witnesses must vouch for it, and no node may have an alarm or evidence against the relay.

    schedule.py    what breaks and when, by the seed alone
    faults.py      breaks it, and mends it
    field.py       the exchange that is broken: relays, nodes, and the ways between them
    ways.py        the ways: through network namespaces (namespaces.py), or through proxies (wires.py)
    clocked.py     a node or relay whose clock jumps
    load.py        what is pushed meanwhile
    recovery.py    how long nodes take to come back
    judge.py       what must hold at the end
    run.py         all of it in its order
"""
