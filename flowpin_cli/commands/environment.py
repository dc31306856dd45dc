"""`flowpin environment …`."""

from flowpin_cli.commands.lazy import group

app = group(
    "Add environments to projects in access.yaml.\n\nThe file keeps its comments and layout. A change takes effect "
    "within two seconds.",
    {"add": "access_rows:add_environment"},
)
