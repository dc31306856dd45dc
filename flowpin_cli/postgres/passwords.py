"""The passwords of the embedded Postgres' roles. They are created once, stored in the data folder, and set before
Postgres starts.

Running as the user of `flowpin up` is not enough to connect, because apps run as the same user unless that is root.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping

from flowpin_cli.machine.data_folder import DataFolder

SUPERUSER = "postgres"
SERVING_ROLES = {name: f"flowpin_{name}" for name in ("workflow", "deploy", "run")}
MIGRATOR_ROLES = {name: f"{role}_migrator" for name, role in SERVING_ROLES.items()}
ROLES = (SUPERUSER, *SERVING_ROLES.values(), *MIGRATOR_ROLES.values())
FILE = "postgres-passwords.json"


def kept_passwords(folder: DataFolder) -> Mapping[str, str]:
    """Passwords by role. Empty if none were created yet."""
    try:
        kept = json.loads(folder.secret(FILE) or "{}")
    except ValueError:
        return {}
    return {role: kept[role] for role in ROLES if isinstance(kept.get(role), str)} if isinstance(kept, dict) else {}


def ensure_passwords(folder: DataFolder) -> Mapping[str, str]:
    """A password for each role. Missing ones are created."""
    kept = kept_passwords(folder)
    passwords = {role: kept.get(role) or secrets.token_urlsafe(24) for role in ROLES}
    if passwords != kept:
        folder.keep_secret(FILE, json.dumps(passwords, indent=1))
    return passwords


def rules(passwords: Mapping[str, str]) -> str:
    """The content of pg_hba.conf. It identifies the passwords that are set, so that changed passwords are noticed and
    set."""
    mark = hashlib.sha256(json.dumps(passwords, sort_keys=True).encode()).hexdigest()[:16]
    return f"# Passwords {mark}, of {FILE}.\nlocal all all scram-sha-256\n"


def statements(passwords: Mapping[str, str]) -> str:
    """SQL, one line each, that sets the passwords of the existing roles."""
    lines = (
        f"DO $$BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') "
        f"THEN ALTER ROLE {role} PASSWORD '{password}'; END IF; END$$;\n"
        for role, password in passwords.items()
    )
    return "".join(lines)
