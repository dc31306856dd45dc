"""`flowpin app …`."""

from flowpin_cli.commands.lazy import group
from flowpin_cli.commands.remote import CODES, WHICH

app = group(
    f"Deploy versions to apps, roll back, and read the history.\n\n{WHICH}\n\n{CODES}",
    {
        "list": "app_records:list_apps",
        "create": "app_records:create",
        "get": "app_records:get",
        "deploy": "app_deploys:deploy",
        "plan": "app_deploys:plan",
        "history": "app_deploys:history",
        "rollback": "app_deploys:rollback",
        "promote": "app_deploys:promote",
        "mark": "app_deploys:mark",
        "keys": "app_records:keys",
        "audit": "app_records:audit",
    },
)
