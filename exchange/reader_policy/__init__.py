"""Reader policies: what a partner says of the words by which its node keeps reader rules. Pure."""
