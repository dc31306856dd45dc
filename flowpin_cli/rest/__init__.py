"""Calls a running installation over REST. It uses only the standard library, so that commands start fast."""
