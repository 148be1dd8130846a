"""Detection and measurement of sources."""
