"""Checks of the database: rights of roles, guards of the schema, and settings for durability."""

from collections.abc import Mapping

from flowpin_cli.postgres import catalog
from flowpin_cli.postgres.passwords import SERVING_ROLES
from flowpin_cli.verify.check import Check, Outcome, Snapshots
from flowpin_cli.verify.snapshot import Row, Snapshot

_SETTINGS = """
    SELECT name, setting, source FROM pg_settings
    WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'zero_damaged_pages')
"""
_WANTED: Mapping[str, str] = {"fsync": "on", "full_page_writes": "on", "zero_damaged_pages": "off"}
_OVERRIDES = """
    SELECT coalesce(rolname, 'every role') AS role, coalesce(datname, 'every database') AS database,
        split_part(entry, '=', 2) AS setting
    FROM pg_db_role_setting CROSS JOIN unnest(setconfig) entry
    LEFT JOIN pg_roles ON pg_roles.oid = setrole LEFT JOIN pg_database ON pg_database.oid = setdatabase
    WHERE split_part(entry, '=', 1) = $2 AND (datname IS NULL OR datname = current_database())
        AND (rolname IS NULL OR rolname = $1)
    ORDER BY setrole <> 0 DESC, setdatabase <> 0 DESC
"""
_NOT_LOGGED = """
    SELECT relname AS "table", 'a crash empties the table: it is not in Postgres'' log' AS what,
        'logged' AS expected, CASE relpersistence WHEN 'u' THEN 'unlogged' ELSE 'temporary' END AS found
    FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'i', 'S') AND relpersistence <> 'p'
    ORDER BY relname
"""
_OFF = ("off", "false", "no", "0")
_EVERY_SESSION = ("default", "configuration file", "command line", "environment variable", "global", "override")
"""Sources of settings that apply to every session."""

_CONSTRAINTS = """
    SELECT conname AS name, convalidated AS is_whole
    FROM pg_constraint WHERE connamespace = $1::regnamespace
"""
_INDEXES = """
    SELECT relname AS name, indisvalid AND indisready AND indislive AS is_whole
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relnamespace = $1::regnamespace
"""
_TRIGGERS = """
    SELECT tgname AS name, tgenabled IN ('O', 'A') AS is_whole
    FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid WHERE relnamespace = $1::regnamespace
        AND NOT tgisinternal
"""
_REFERENCES = """
    SELECT conname AS name, false AS is_whole
    FROM pg_trigger JOIN pg_constraint ON pg_constraint.oid = tgconstraint
    WHERE connamespace = $1::regnamespace AND tgisinternal AND tgenabled NOT IN ('O', 'A')
"""
_DEFAULTS = """
    SELECT relname || ' ' || attname AS name, true AS is_whole
    FROM pg_attrdef JOIN pg_class ON pg_class.oid = adrelid
    JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum WHERE relnamespace = $1::regnamespace
"""
_GUARDS: Mapping[str, tuple[str, ...]] = {
    "CONSTRAINT": (_CONSTRAINTS, _REFERENCES),
    "INDEX": (_INDEXES,),
    "TRIGGER": (_TRIGGERS,),
    "DEFAULT": (_DEFAULTS,),
}
"""The objects of the database by kind, with the names in the migrations, and whether each is enforced for every row."""


async def _look_at_settings(snapshots: Snapshots, outcome: Outcome) -> None:
    for snapshot in snapshots.values():
        found = {row["name"]: row for row in await snapshot.fetch(_SETTINGS)}
        for name, wanted in _WANTED.items():
            outcome.count(1)
            if found[name]["setting"] != wanted:
                piece = {"service": snapshot.service, "setting": name, "what": "the server's setting"}
                outcome.add(piece | {"expected": wanted, "found": found[name]["setting"]})
        await _look_at_sessions(snapshot, found["synchronous_commit"], outcome)
        for row in await snapshot.fetch(_NOT_LOGGED, snapshot.schema):
            outcome.add({"service": snapshot.service, **row})


async def _look_at_sessions(snapshot: Snapshot, server: Row, outcome: Outcome) -> None:
    """Check the settings of the service's sessions. Those of the role override those of the database, and these the
    server's."""
    role = SERVING_ROLES[snapshot.service]
    piece = {"service": snapshot.service, "role": role}
    outcome.count(2)
    overrides = await snapshot.fetch(_OVERRIDES, role, "synchronous_commit")
    if overrides:
        setting, what = overrides[0]["setting"], f"set for {overrides[0]['role']} in {overrides[0]['database']}"
    else:
        # Settings of our own role do not apply to the service.
        setting = server["setting"] if server["source"] in _EVERY_SESSION else "on"
        what = "the server's setting"
    if setting.lower() in _OFF:
        outcome.add(piece | {"setting": "synchronous_commit", "what": what, "expected": "on", "found": setting})
    for row in await snapshot.fetch(_OVERRIDES, role, "session_replication_role"):
        if row["setting"] == "replica":
            what = f"set for {row['role']} in {row['database']}: no trigger fires and no reference is checked"
            outcome.add(
                piece | {"setting": "session_replication_role", "what": what, "expected": "origin", "found": "replica"}
            )


async def _look_at_grants(snapshots: Snapshots, outcome: Outcome) -> None:
    names = {snapshot.service: snapshot.schema for snapshot in snapshots.values()}
    for snapshot in snapshots.values():
        outcome.count(2)
        for problem in await catalog.role_problems(snapshot.connection, snapshot.service, names):
            outcome.add({"service": snapshot.service, "what": problem})


async def _look_at_guards(snapshots: Snapshots, outcome: Outcome) -> None:
    for snapshot in snapshots.values():
        for kind, names in snapshot.guards.items():
            found: dict[str, bool] = {}
            for statement in _GUARDS[kind]:
                for row in await snapshot.fetch(statement, snapshot.schema):
                    found[row["name"]] = row["is_whole"]
            outcome.count(len(names))
            for name in sorted(names):
                if not found.get(name, False):
                    what = f"the {kind.lower()} is " + ("not enforced" if name in found else "missing")
                    outcome.add({"service": snapshot.service, "guard": name, "what": what})


CHECKS = (
    Check(
        "database.grants",
        "A service's role can neither rewrite nor remove what is saved, deployed or audited, nor see the other schema.",
        "roles",
        _look_at_grants,
    ),
    Check(
        "database.guards",
        "Every constraint, index, trigger and default of the migrations exists and is enforced.",
        "guards",
        _look_at_guards,
    ),
    Check(
        "database.settings",
        "What is answered is on disk: fsync, full_page_writes and synchronous_commit are on for the services' "
        "sessions, and every table is in Postgres' log.",
        "settings",
        _look_at_settings,
    ),
)
