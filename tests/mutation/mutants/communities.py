"""Checks of communities: rosters, who belongs to them, and what their members are shown."""

from tests.mutation.mutant import AUDIENCE, DECIDE, POLICY, without

ROUTE = "exchange/policy/communities/route.py"
COMMUNITY = "exchange/policy/communities/verify.py"
COMMUNITY_MODEL = "exchange/policy/communities/model.py"
ROSTER = "exchange/policy/communities/roster.py"
RELAY_COMMUNITIES = "exchange/relay/communities.py"
RELAY_COMMUNITY_TESTS = "tests/integration/test_relay_communities.py"
COMMUNITY_TESTS = f"{POLICY}/test_policy_communities.py"

ROSTER_SHOWN = [
    without("release.roster", where, file, before, after, test)
    for where, file, before, after, test in (
        (
            "recipient",
            "exchange/envelope/statement.py",
            "    if not opened.open_roster:\n",
            "    if False:\n",
            "tests/unit/exchange/envelope/test_envelope_open.py",
        ),
        (
            "sender",
            "nodes/vault.py",
            " and self.audience.open_roster else",
            " else",
            "tests/integration/test_node_open_roster.py",
        ),
        (
            "author",
            "exchange/policy/product.py",
            "    if release.open_roster and not than.open_roster:\n",
            "    if False:\n",
            f"{POLICY}/test_policy_combine.py",
        ),
    )
]

FELLOWS = [
    without(field, "originator", file, before, after, f"{POLICY}/test_policy_fellows.py")
    for field, file, before, after in (
        (
            "community.visibility",
            ROUTE,
            " and sees_roster(each.active.head, each.active.members[member])",
            "",
        ),
        ("community.owner", ROUTE, "            if not each.suspended and sees_roster(", "            if sees_roster("),
        ("community.history", ROUTE, "each.has(party) and each.lets_in(party, self._authored_ms)", "each.has(party)"),
        ("community.epoch", ROUTE, "if each.has(party) and", "if"),
        ("release.except", AUDIENCE, "fellows(member) - self.excluded - {member}", "fellows(member) - {member}"),
        ("community.audience", AUDIENCE, "if self._addressed(member) or member", "if member"),
    )
]

COMMUNITIES = [
    without("community.agreement_id", "everyone", DECIDE, "return not ids or agreement.ref.id in ids", "return True"),
    without("community.epoch", "sender", ROUTE, "if all(each.epoch != target.epoch for each in known):", "if False:"),
    without(
        "community.epoch",
        "sender",
        ROUTE,
        "return active if target.epoch <= active.head.epoch else Reason.COMMUNITY_NOT_YET",
        "return active",
    ),
    without(
        "community.status",
        "relay",
        ROUTE,
        "for each in _named(slot.via, rules) if each.status is AgreementStatus.ACTIVE]",
        "for each in _named(slot.via, rules)]",
    ),
    without(
        "community.status",
        "recipient",
        ROUTE,
        "next((each.held for each in found if each.status is AgreementStatus.ACTIVE), None)",
        "found[-1].held",
    ),
    without("community.valid_until", "everyone", ROUTE, "if 0 < held.head.terms.valid_until_ms <= at_ms:", "if False:"),
    without(
        "community.owner",
        "everyone",
        ROUTE,
        "if standing is None or standing.membership not in {Membership.ADMITTED, Membership.SUSPENDED}:",
        "if False:",
    ),
    without(
        "community.owner",
        "everyone",
        ROUTE,
        "if standing.membership is Membership.SUSPENDED else None",
        "if False else None",
    ),
    without("community.owner", "relay", ROUTE, "_owner(active[0].owner, rules) if active", "None if active"),
    without(
        "community.publishers",
        "sender",
        ROUTE,
        "return all(sender in each.head.publishers for each in (active, *newer))",
        "return True",
    ),
    without("community.publishers", "recipient", ROUTE, "if sender not in held.head.publishers:", "if False:"),
    without(
        "community.categories",
        "sender",
        ROUTE,
        "if item.label is None or not active.head.terms.covers(item.label):",
        "if False:",
    ),
    without(
        "community.categories",
        "recipient",
        ROUTE,
        "if item.label is None or not held.head.terms.covers(item.label):",
        "if False:",
    ),
    without("community.members_root", "recipient", ROUTE, "if recipient not in held.members:", "if False:"),
    without(
        "community.history", "sender", ROUTE, "self.active.members[recipient].since_epoch <= self.named or", "True or"
    ),
    without("community.visibility", "member", COMMUNITY, "    if not sees:\n", "    if False:\n", COMMUNITY_TESTS),
    without("community.owner", "member", COMMUNITY, "if head.owner != owner:", "if False:", COMMUNITY_TESTS),
    without("community.exchange", "member", COMMUNITY, "if head.exchange != exchange:", "if False:", COMMUNITY_TESTS),
    without("community.members_root", "member", COMMUNITY, "if mine.party != me:", "if False:", COMMUNITY_TESTS),
    without("community.owner", "relay", COMMUNITY, "if notice.owner != owner:", "if False:", COMMUNITY_TESTS),
]

ROSTERS = [
    without("community.members", "sender", ROUTE, "recipient in self.active.members and all(", "all("),
    without("community.members", "sender", ROUTE, " and all(recipient in each.members for each in self.newer)", ""),
    without("community.about", "everyone", COMMUNITY_MODEL, "return categories and places", "return categories"),
    without("community.about", "everyone", COMMUNITY_MODEL, "(bool(label.about) and set", "(set"),
    without("community.categories", "everyone", COMMUNITY_MODEL, "return categories and places", "return places"),
    without(
        "community.history",
        "sender",
        ROUTE,
        "if each.has(recipient) and each.lets_in(recipient, self._authored_ms)",
        "if each.has(recipient)",
    ),
    without("community.history", "sender", ROUTE, " and authored_ms >= terms.history_from_ms", ""),
    without("community.visibility", "member", COMMUNITY, "        if sees:\n", "        if False:\n", COMMUNITY_TESTS),
    without(
        "community.members_root",
        "member",
        ROSTER,
        "if tree_of(roster).root != head.members_root:",
        "if False:",
        COMMUNITY_TESTS,
    ),
    without(
        "community.publishers", "member", ROSTER, "if publishers != head.publishers:", "if False:", COMMUNITY_TESTS
    ),
    without(
        "community.role",
        "member",
        ROSTER,
        "if (member.role is MemberRole.PUBLISHER) != (member.party in head.publishers):",
        "if False:",
        COMMUNITY_TESTS,
    ),
    without(
        "community.since_epoch", "member", ROSTER, "if member.since_epoch > head.epoch:", "if False:", COMMUNITY_TESTS
    ),
    without(
        "community.members", "member", ROSTER, " and head.members != len(members):", " and False:", COMMUNITY_TESTS
    ),
    without(
        "community.status",
        "relay",
        COMMUNITY_MODEL,
        'sha256(_SHOWN_LABEL + community + epoch.to_bytes(8, "big") + commitment).digest()',
        "commitment",
        RELAY_COMMUNITY_TESTS,
        "touches_no_agreement",
    ),
    without(
        "community.epoch",
        "relay",
        RELAY_COMMUNITIES,
        "if notice.epoch != last + 1:",
        "if False:",
        RELAY_COMMUNITY_TESTS,
        "gap",
    ),
    without(
        "community.status",
        "relay",
        RELAY_COMMUNITIES,
        "if epochs and _ended(snapshot, epochs):",
        "if False:",
        RELAY_COMMUNITY_TESTS,
        "ended_stays",
    ),
]
