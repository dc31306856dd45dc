"""`flowpin project …`."""

from flowpin_cli.commands.lazy import group

app = group(
    "Add and list projects of access.yaml.\n\nThe file keeps its comments and layout. A change takes effect within "
    "two seconds.",
    {"add": "access_rows:add_project", "list": "access_rows:list_projects"},
)
