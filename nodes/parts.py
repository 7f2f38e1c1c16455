"""The parts of a running node, each built once by app.py, and the few that belong together."""

from dataclasses import dataclass
from pathlib import Path

from nodes.agreements import Agreements
from nodes.anew import Anew
from nodes.announcing import Announcing
from nodes.approving import Approving
from nodes.asking import Asking
from nodes.auditor import Auditor
from nodes.communities import Communities
from nodes.config import NodeConfig
from nodes.consenting import Consenting
from nodes.convening import Convening
from nodes.core import Core
from nodes.desk import Authoring
from nodes.expelling import Expelling
from nodes.history import CommunityHistory
from nodes.narrowing import Narrowing
from nodes.notices import Notices
from nodes.numbers import Numbers
from nodes.obligations import Obligations
from nodes.operators import Operators
from nodes.outbox import Outbox
from nodes.prekeys import Prekeys
from nodes.publishing import Publishing
from nodes.reader_policies import ReaderPolicies
from nodes.receipts import Receipts
from nodes.receiver import Receiver
from nodes.relay_client import RelayClient
from nodes.reminders import Reminders
from nodes.report_files import ReportFiles
from nodes.rotating import Rotation
from nodes.sender import Sender
from nodes.sensors import Sensors
from nodes.set_back import SetBack
from nodes.shelf import Shelf
from nodes.suspects import Suspects
from nodes.sync import Sync
from nodes.titles import Titles
from nodes.watch import Watch


@dataclass(frozen=True, slots=True)
class Groups:
    """What has to do with communities."""

    communities: Communities
    convening: Convening
    announcing: Announcing
    history: CommunityHistory


@dataclass(frozen=True, slots=True)
class Node:
    """Everything that runs."""

    home: Path
    config: NodeConfig
    core: Core
    relay: RelayClient
    agreements: Agreements
    titles: Titles
    groups: Groups
    sync: Sync
    outbox: Outbox
    sender: Sender
    receiver: Receiver
    publishing: Publishing
    notices: Notices
    shelf: Shelf
    asking: Asking
    consenting: Consenting
    sensors: Sensors
    operators: Operators
    reader_policies: ReaderPolicies
    approving: Approving
    authoring: Authoring
    receipts: Receipts
    numbers: Numbers
    files: ReportFiles
    obligations: Obligations
    narrowing: Narrowing
    prekeys: Prekeys
    rotation: Rotation
    anew: Anew
    expelling: Expelling
    reminders: Reminders
    suspects: Suspects
    auditor: Auditor
    watch: Watch
    set_back: SetBack
    started_ms: int
