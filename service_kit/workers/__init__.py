"""Processes for work on documents that are large or costly, so that the event loop does not wait for it."""
