"""`concord log witness` and `concord root witnesses`: this node's witness key, and naming the witnesses."""

from pathlib import Path
from typing import Annotated

import typer

from exchange.crypto.codec import decode_signed
from exchange.crypto.keys import KeyAlgorithm, admit_public_key
from exchange.errors import BadInput
from exchange.names import exchange_name, party_id
from exchange.runtime.seen_file import PROMISE_BYTES, LogsSeen, write_logs_seen
from nodes.admin import output
from nodes.admin.options import DEFAULT_HOME, Json, NodeHome
from nodes.admin.plain import plain
from nodes.reportfile import naming
from nodes.root_home import check_free_file, read_text, write_file
from nodes.statement_file import write_request
from nodes.v1 import witness_pb2 as pb
from nodes.witness_file import WitnessKey, read_witness_key, write_witness_key


def witness(
    home: NodeHome = DEFAULT_HOME,
    out: Annotated[Path | None, typer.Option("--out", help="Write this node's witness key, for the council.")] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="Write the keys by which others check proofs (C2SP tlog-policy).")
    ] = None,
    seen: Annotated[
        Path | None, typer.Option("--seen", help="Write what this node has seen of both logs, for a restored relay.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show who watches the relay's logs, and this node's own witness key.

    Example: concord log witness --out xv.witness
    Example: concord log witness --seen xv.seen
    """
    for target in (out, policy, seen):
        if target is not None:
            check_free_file(target)
    from nodes.node_client import connect  # noqa: PLC0415 - loads gRPC, which the other commands on roots do without

    with connect(home) as node:
        found = node.GetWitness(pb.GetWitnessRequest())
    if policy is not None:
        write_file(policy, found.policy, secret=False)
        output.data(str(policy))
    if out is not None:
        key = admit_public_key(KeyAlgorithm.MLDSA_44, found.key)
        own = WitnessKey(exchange_name(found.exchange), party_id(found.party), key)
        write_file(out, write_witness_key(own), secret=False)
        output.data(str(out))
        output.say(f"its id, for people to compare: {found.key_id}")
    if seen is not None:
        write_file(seen, write_logs_seen(_seen(found)), secret=False)
        output.data(str(seen))
    if any((out, policy, seen)):
        return
    if as_json:
        output.as_json(plain(found))
        return
    named = any(each.key_id == found.key_id for each in found.members)
    output.fields(
        {
            "own key": found.key_id,
            "this node": "is a witness" if named else "is no witness",
            **{
                f"{each.log} log": f"{each.size:,} entries cosigned at {output.when(each.at_ms)}"
                for each in found.cosigned
            },
            "quorum": f"{found.quorum} of {len(found.members)}"
            if found.quorum
            else "none: the exchange is unwitnessed",
        }
    )
    output.table(("witness", "key"), [(each.party, each.key_id) for each in found.members], empty="no witnesses")


def _seen(found: pb.GetWitnessResponse) -> LogsSeen:
    promise = decode_signed(found.promise_seen, limit=PROMISE_BYTES, what="a promise") if found.promise_seen else None
    exchange, party = exchange_name(found.exchange), party_id(found.party)
    return LogsSeen(exchange, party, found.directory_seen, found.traffic_seen, promise)


def witnesses(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Witness keys, one a party.")],
    quorum: Annotated[int, typer.Option("--quorum", min=1, help="How many must agree: more than half of them.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write the statement for the council to sign.")],
    home: NodeHome = DEFAULT_HOME,
) -> None:
    """Draft the naming of the witnesses for the council to sign; they take the place of those before.

    A node drafts it, because it knows the council's next place in the directory. Then `root sign` by council root after
    council root, and `partner publish`.

    Example: concord root witnesses xa.witness xv.witness xo.witness --quorum 2 --out witnesses.request
    """
    check_free_file(out)
    keys = []
    for file in files:
        with naming(file):
            keys.append(read_witness_key(read_text(file)))
    from nodes.node_client import connect  # noqa: PLC0415 - as above

    with connect(home) as node:
        exchange = node.GetWitness(pb.GetWitnessRequest()).exchange
        strangers = [str(file) for file, key in zip(files, keys, strict=True) if key.exchange != exchange]
        if strangers:
            raise BadInput(f"{', '.join(strangers)}: of another exchange than {exchange}", hint="concord log witness")
        drafted = node.DraftWitnesses(
            pb.DraftWitnessesRequest(
                members=[pb.ProposedWitness(party=each.party, key=each.key.raw) for each in keys], quorum=quorum
            )
        )
    write_file(out, write_request(drafted.type, drafted.payload), secret=False)
    output.data(str(out))
