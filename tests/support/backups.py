"""The content of a database as comparable text."""

import subprocess

from flowpin_cli.postgres.install import client_programs


def structure(url: str, *words: str) -> str:
    """pg_dump's output for both schemas, with rows unless `words` exclude them."""
    command = [client_programs() / "pg_dump", "--schema=workflow", "--schema=deploy", *words, url]
    text = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return "\n".join(line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))
