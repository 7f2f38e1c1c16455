"""Generated from protos/exchange/v1; never edited."""
