"""Speed, always as a ratio against a ceiling or a peer in the same run; nothing here is a test."""
