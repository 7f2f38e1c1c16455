"""Generated from protos/nodes/v1; never edited."""
