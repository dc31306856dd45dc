"""`flowpin user …`."""

from flowpin_cli.commands.lazy import group

app = group(
    "Add and list people of access.yaml.\n\nThe file keeps its comments and layout. A change takes effect within two "
    "seconds.",
    {"add": "access_rows:add_user", "list": "access_rows:list_users"},
)
