"""Makes docs/configuration.md from the settings classes."""

from collections.abc import Iterator, Mapping
from inspect import get_annotations

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from service_kit.settings import (
    ChannelTlsSettings,
    ListenerTlsSettings,
    ProcessSettings,
    ServiceSettings,
    WorkerSettings,
    variable,
)

HEAD = """\
# Configuration

This page is made by `flowpin settings --reference > docs/configuration.md` from the settings classes.

Each process reads its settings from the environment once, at start. `flowpin up` sets some of them and passes the
others on. It names settings that have no effect or are misspelt, and starts nothing if one is invalid.

`flowpin settings` shows the current values and where each comes from. `python -m workflow_service --help` explains the
settings of one process.

Names ending in `_SECONDS` are seconds, those ending in `_BYTES` are bytes. `…` in a name is the prefix of the process.
"""

PREFIXES = "`WORKFLOW`, `DEPLOY`, `RUN`, `GATEWAY`, `CONSOLE`"

SHARED: Mapping[type[BaseSettings], tuple[str, str]] = {
    ProcessSettings: ("Every process", f"Prefixes: {PREFIXES}."),
    ListenerTlsSettings: (
        "TLS of listeners",
        f"Prefixes: {PREFIXES}. Changed files are read again; open connections continue.",
    ),
    ChannelTlsSettings: ("TLS of channels to services", f"Prefixes: {PREFIXES}."),
    ServiceSettings: ("Services with a database", "Prefixes: `WORKFLOW`, `DEPLOY`, `RUN`."),
    WorkerSettings: ("Worker processes", "Prefixes: `WORKFLOW`, `GATEWAY`."),
}
"""Settings that several processes have, with a title and a sentence."""

OVERRIDDEN = {(ServiceSettings, "listen")}
"""Settings whose default depends on the process. The table of each process shows it."""

TITLES = {
    "gateway": "Gateway",
    "workflow": "Workflow service",
    "deploy": "Deploy service",
    "run": "Run service",
    "host": "Host process (`python -m run_service host`)",
    "console": "Console",
}


def reference(classes: Mapping[str, type[BaseSettings]]) -> str:
    """The page as Markdown. `classes` are the settings by process."""
    parts = [HEAD]
    for shared, (title, sentence) in SHARED.items():
        parts.append(f"## {title}\n\n{sentence}\n\n{_table(shared, '…_')}\n")
    for process, settings_class in classes.items():
        prefix = str(settings_class.model_config.get("env_prefix", ""))
        parts.append(f"## {TITLES[process]}\n\n{_table(settings_class, prefix)}\n")
    return "\n".join(parts)


def _table(settings_class: type[BaseSettings], prefix: str) -> str:
    return "\n".join(["| Setting | Default | Meaning |", "|---|---|---|", *_rows(settings_class, prefix)])


def _rows(settings_class: type[BaseSettings], prefix: str) -> Iterator[str]:
    for name in get_annotations(settings_class):
        if (field := settings_class.model_fields.get(name)) and (settings_class, name) not in OVERRIDDEN:
            meaning = " ".join((field.description or "").split()).replace("|", "\\|")
            yield f"| `{variable(prefix, name, field)}` | {_default(name, field)} | {meaning} |"


def _default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is None or isinstance(field.default, SecretStr):
        return ""
    if "bytes" in name and field.default >= 1 << 10:
        unit, size = ("GiB", 1 << 30) if field.default >= 1 << 30 else ("MiB", 1 << 20)
        unit, size = (unit, size) if field.default >= size else ("KiB", 1 << 10)
        return f"`{field.default}` ({field.default // size} {unit})"
    return f"`{field.default}`"
