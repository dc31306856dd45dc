"""Calls of a running installation over REST, with the standard library alone: they start fast."""
