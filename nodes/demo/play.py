"""The acts of the demo, in the order in which they are played."""

from collections.abc import Callable

from nodes.demo import acts, later_acts, rule_acts
from nodes.demo.exchange import Exchange
from nodes.demo.stage import Proven

Act = tuple[str, Callable[[Exchange], Proven]]

ACTS: tuple[Act, ...] = (
    ("An incident report reaches exactly the partners it should", acts.incident_reaches_its_audience),
    ("Why a partner got nothing, as evidence", rule_acts.decision_is_explained),
    ("What a recipient learns of the others", acts.audience_stays_hidden),
    ("A kidnapping is told to one partner at once, to two more later", later_acts.embargo_begins),
    ("A correction follows", acts.correction_follows),
    ("The host-country cell acknowledges, a partner asks, the host answers", acts.host_acknowledges),
    ("One reads it, another does not", acts.readers_inside),
    ("An alert with guidance in three languages", acts.alert_with_guidance),
    ("An assessment whose source is protected", later_acts.source_is_protected),
    ("Lessons for everybody take two people", rule_acts.release_takes_two),
    ("A community whose members change", rule_acts.members_change),
    ("Machines push by themselves", acts.sensor_pushes),
    ("A directory is enough", acts.spool_pushes),
    ("A retraction goes out", acts.retraction_goes_out),
)

PROOF: Act = ("A proof to hand on", rule_acts.proof_is_handed_on)
EMBARGO_ENDS: Act = ("The embargo ends", later_acts.embargo_ends)
LAST: Act = ("A member is stopped", later_acts.member_is_stopped)
"""After the proofs: it ends a key whose signatures they check."""
