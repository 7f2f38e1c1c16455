"""The stories in whose course the durable steps of relay and node are passed, each with the steps that it is killed at.

Every story ends with its judge: what was told to anybody holds, what was pushed has arrived once and is receipted, the
logs are consistent, no alarm is open that the story does not call for.
"""

from collections.abc import Mapping, Sequence

from tests.crash import stories_homes, stories_people, stories_reports, stories_rules, stories_trouble
from tests.support.crash_room import Story

STORIES: Mapping[str, tuple[Story, Sequence[str]]] = {
    **stories_reports.STORIES,
    **stories_rules.STORIES,
    **stories_people.STORIES,
    **stories_trouble.STORIES,
    **stories_homes.STORIES,
}
