"""What a database holds, as text that can be compared."""

import subprocess

from flowpin_cli.postgres.install import client_programs


def structure(url: str, *words: str) -> str:
    """Both schemas as pg_dump writes them, rows too unless `words` say otherwise."""
    command = [client_programs() / "pg_dump", "--schema=workflow", "--schema=deploy", *words, url]
    text = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return "\n".join(line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))
