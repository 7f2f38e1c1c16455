"""What one partner runs."""
