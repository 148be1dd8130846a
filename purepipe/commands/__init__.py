"""Commands that take the original programs' arguments."""
