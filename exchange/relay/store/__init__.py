"""The relay's store: tables, migrations, and the ports of sequencer, submit, mailbox and enrol on SQL."""
