"""What all parties of an exchange share: formats and rules that everyone computes identically, and the relay.

A report's path, one place per step:

==================  =====================================================================
step                where
==================  =====================================================================
author, label       nodes/author.py         read, check and label a report; sign it
who may get it      exchange/policy/decide.py
outbox              nodes/outbox.py         durable: nothing that was pushed is lost
seal                exchange/envelope/seal.py, called by nodes/sender.py
submit              nodes/sender.py, nodes/relay_client.py -> exchange/relay/services/relay.py
verify, decide      exchange/relay/submit.py  the relay's checks, in order
log, store, promise exchange/relay/sequencer.py, exchange/relay/mailbox.py
deliver             exchange/relay/deliver.py -> nodes/receiver.py
open, decide again  exchange/envelope/open.py, nodes/receiver.py
inbox               nodes/inbox.py          exactly once, encrypted at rest
acknowledge         nodes/receiver.py -> exchange/relay/deliver.py
receipt             nodes/receipts.py       signed by the recipient, sealed to the sender
obligations         nodes/obligations.py    expiry, retraction, purge
==================  =====================================================================
"""
