"""What all parties of an exchange share: formats and rules that everyone computes identically, and the relay.

A report's path, one place per step:

==================  =====================================================================
step                where
==================  =====================================================================
author, label       nodes/author.py         read, check and label a report; sign it
who may get it      exchange/policy/decide.py
guard               nodes/guard.py          what is unusual is shown and confirmed
outbox              nodes/outbox.py         durable: nothing that was pushed is lost
wait, approve       nodes/waiting.py        for its time, for approvals, for the end of a suspension
files               nodes/uploading.py      before anything that names them is sealed -> exchange/relay/blobs.py
seal                nodes/due.py, nodes/sealing.py, exchange/envelope/seal.py, called by nodes/sender.py
submit              nodes/sender.py, nodes/relay_client.py -> exchange/relay/services/relay.py
verify, decide      exchange/relay/submit.py  the relay's checks, in order
log, store, promise exchange/relay/sequencer.py, exchange/relay/mailbox.py
deliver             exchange/relay/deliver.py -> nodes/receiver.py
open, decide again  exchange/envelope/open.py, nodes/receiver.py
inbox               nodes/inbox.py          exactly once, encrypted at rest
acknowledge         nodes/receiver.py -> exchange/relay/deliver.py
files               nodes/fetching.py       whole and right, or not at all
receipt             nodes/receipts.py       signed by the recipient, sealed to the sender
obligations         nodes/obligations.py    expiry, retraction, purge
use, export         exchange/policy/use.py, nodes/exporting.py
pass on             nodes/asking.py -> nodes/consenting.py -> nodes/passing.py  by consent of every originator
withdraw            nodes/withdrawing.py    from all who have it, and all who got it by consent
==================  =====================================================================
"""
