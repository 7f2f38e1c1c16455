"""Append-only logs that anyone can check: entries, tiles, signed notes and checkpoints.

Pure. Hashing is in exchange/merkle.py; formats are those of C2SP (signed-note, tlog-checkpoint, tlog-tiles).
"""
