"""All mutants, a module for each part of the rules."""

from tests.mutation.mutants.communities import COMMUNITIES, FELLOWS, ROSTER_SHOWN, ROSTERS
from tests.mutation.mutants.decisions import AGREEMENT, BOUND, CONTENT, DECIDERS, OBLIGATIONS, RELEASE, VALIDITY
from tests.mutation.mutants.later import APPROVING, CONSENT, OVERTAKEN, STANDING
from tests.mutation.mutants.products import ATTACHED, CARRIED, COMBINED, DERIVED
from tests.mutation.mutants.readers import CLEARING, EXPORT, READING, UNIFORM

MUTANTS = [
    *VALIDITY,
    *AGREEMENT,
    *CONTENT,
    *RELEASE,
    *OBLIGATIONS,
    *BOUND,
    *CONSENT,
    *CLEARING,
    *OVERTAKEN,
    *STANDING,
    *ROSTER_SHOWN,
    *FELLOWS,
    *COMMUNITIES,
    *ROSTERS,
    *EXPORT,
    *READING,
    *UNIFORM,
    *APPROVING,
    *DECIDERS,
    *COMBINED,
    *DERIVED,
    *CARRIED,
    *ATTACHED,
]
