"""The Postgres of a run: the embedded server, or another one by its URL."""
