"""Stream resets: a sender that lost its counters begins anew, and says so. Pure."""
