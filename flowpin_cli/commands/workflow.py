"""`flowpin workflow …`."""

from flowpin_cli.commands.lazy import group
from flowpin_cli.commands.remote import CODES, WHICH

app = group(
    f"Create, save, compare and export workflows and their versions.\n\n{WHICH}\n\n{CODES}",
    {
        "list": "workflow_canvases:list_workflows",
        "create": "workflow_canvases:create",
        "example": "workflow_canvases:example",
        "get": "workflow_canvases:get",
        "save": "workflow_versions:save",
        "versions": "workflow_versions:list_versions",
        "show": "workflow_versions:show",
        "diff": "workflow_versions:diff",
        "restore": "workflow_versions:restore",
        "archive": "workflow_versions:archive",
        "unarchive": "workflow_versions:unarchive",
        "label": "workflow_versions:label",
        "note": "workflow_versions:note",
        "fork": "workflow_canvases:fork",
        "import": "workflow_canvases:import_workflow",
        "export": "workflow_canvases:export",
        "validate": "workflow_canvases:validate",
        "audit": "workflow_canvases:audit",
    },
)
