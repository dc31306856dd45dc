"""`flowpin settings`: prints every setting of the processes, its value, and its source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import DataFolder, Ports, found, last_ports
from flowpin_cli.postgres.urls import Databases, url_without_password
from flowpin_cli.up.children import Children
from flowpin_cli.up.workers import workers
from service_kit.settings import misspelt
from service_kit.settings import variable as variable_of


@dataclass(frozen=True)
class Setting:
    """One row of the table."""

    name: str
    value: str
    source: str
    meaning: str
    wrong: str = ""


def show(data: Path, classes: Mapping[str, type[BaseSettings]], environ: Mapping[str, str], console: Console) -> None:
    """The rows of all processes. `classes` are by process. Raises CannotRun if a process would refuse these
    settings."""
    given = _set_by_up(found(data))
    wrong: list[Setting] = []
    for process, settings_class in classes.items():
        rows = settings_of(settings_class, environ, given[process])
        wrong += [row for row in rows if row.wrong]
        console.print(_table(process, rows))
    _refuse(wrong)


def without_effect(data: Path, classes: Mapping[str, type[BaseSettings]], environ: Mapping[str, str]) -> list[str]:
    """One sentence per setting in the environment that `flowpin up` overrides or that no process has.

    Raises CannotRun if another one is invalid.
    """
    given = _set_by_up(found(data))
    rows = [row for process, of in classes.items() for row in settings_of(of, environ, given[process])]
    _refuse([row for row in rows if row.wrong])
    in_environ = {name.upper() for name in environ}
    ours = sorted({name for settings in given.values() for name in settings} & in_environ)
    said = [f"{name} has no effect: `flowpin up` sets it{_instead(name)}." for name in ours]
    return said + misspelt(list(classes.values()))


def _instead(name: str) -> str:
    if name in ("GATEWAY_LISTEN", "RUN_LISTEN"):
        return "; --host, --port and --apps-port say where it listens"
    return "; --database-url names a Postgres" if name.endswith("DATABASE_URL") else ""


def _refuse(wrong: Sequence[Setting]) -> None:
    if wrong:
        problems = dict.fromkeys(f"{row.name}: {row.wrong}" for row in wrong)
        raise CannotRun("nothing can start with " + "; ".join(problems))


def _table(process: str, rows: Sequence[Setting]) -> Table:
    table = Table(box=SIMPLE, title=process, title_justify="left", title_style="bold")
    table.add_column("Setting", no_wrap=True)
    table.add_column("From", no_wrap=True)
    table.add_column("Value, and what it says", overflow="fold")
    for row in rows:
        style = "red" if row.wrong else "" if row.source == "default" else "bold"
        value = Text.assemble((row.value, style), "\n", (row.meaning, "dim"))
        table.add_row(Text(row.name, style), Text(row.source, style), value)
    return table


def settings_of(
    settings_class: type[BaseSettings], environ: Mapping[str, str], given: Mapping[str, str]
) -> list[Setting]:
    """The settings of a process in order. `environ` is the environment, and `given` has the variables that override
    it."""
    prefix = str(settings_class.model_config.get("env_prefix", ""))
    fields = settings_class.model_fields
    in_environ = {name.upper() for name in environ}
    values, wrong = _read(
        settings_class, {n: given[v] for n, f in fields.items() if (v := variable_of(prefix, n, f)) in given}
    )
    rows = []
    for name, field in fields.items():
        variable = variable_of(prefix, name, field)
        meaning = " ".join((field.description or "").split())
        source = "environment" if variable in in_environ else "default"
        if variable in given:
            source = "flowpin up"
            meaning += " (Also set in the environment, without effect.)" if variable in in_environ else ""
        value = _shown(field, values.get(name, given.get(variable, environ.get(variable))))
        rows.append(Setting(variable, value, source, meaning, wrong.get(name, "")))
    return rows


def _read(settings_class: type[BaseSettings], given: dict[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """The values by field, empty if some are invalid, and the errors."""
    try:
        settings = settings_class(**given)
    except ValidationError as error:
        return {}, {str(e["loc"][0]): e["msg"] for e in error.errors(include_input=False)}
    return {name: getattr(settings, name) for name in settings_class.model_fields}, {}


def _shown(field: FieldInfo, value: object) -> str:
    if SecretStr in (field.annotation, *get_args(field.annotation)):
        return "set" if value else "unset"
    if value is None:
        return "unset" if field.is_required() or field.default is None else str(field.default)
    return url_without_password(str(value))


ANY_DATABASE = "postgresql://set"
"""A placeholder for a URL with a password. Only its presence is shown."""


def _set_by_up(folder: DataFolder) -> Mapping[str, Mapping[str, str]]:
    """The variables that `flowpin up` sets, by process. Port 0 means a port that is not chosen yet."""
    children = Children(folder, last_ports(folder) or Ports(0, [0], [0]), {}, workers(None))
    databases = Databases(ANY_DATABASE, lambda role: ANY_DATABASE, are_external=False)
    return {
        "gateway": children.gateway_settings(),
        "workflow": children.workflow_settings(databases),
        "deploy": children.deploy_settings(databases, "set"),
        "run": children.run_settings(databases, "set"),
        "host": {},
        "console": children.console_settings(),
    }
