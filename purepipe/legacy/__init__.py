"""Readers of the files that a user's old set-up brings; each yields purepipe's configuration."""
