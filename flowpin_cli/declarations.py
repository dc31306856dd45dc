"""`flowpin project`, `user` and `environment`: change access.yaml according to the options."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flowpin_cli import terminal
from flowpin_cli.errors import CannotRun
from service_kit.access import declaring
from service_kit.access.file import AccessFileError
from service_kit.access.tokens import read_access_file


def add_project(path: Path, name: str, org: str | None, environments: Sequence[str]) -> None:
    with _access_file_problems():
        project = declaring.add_project(path, name, org, environments)
    terminal.say(str(project.id))
    terminal.hint(
        f"Project {name}, with {', '.join(project.environments)}. Tokens of its org are valid in it. Its own token: "
        f"flowpin token new --user EMAIL --project {project.id} --role editor"
    )


def show_projects(path: Path) -> None:
    with _access_file_problems():
        access = read_access_file(path)
    orgs = {org.id: org.name for org in access.orgs}
    rows = [[each.name, orgs[each.org_id], ", ".join(each.environments), str(each.id)] for each in access.projects]
    terminal.table(["NAME", "ORG", "ENVIRONMENTS", "ID"], rows, ["bold", "", "", "dim"])


def add_user(path: Path, email: str, first_name: str, last_name: str) -> None:
    with _access_file_problems():
        user = declaring.add_user(path, email, first_name, last_name)
    terminal.say(str(user.id))
    terminal.hint(f"Create a token: flowpin token new --user {user.email} --project ID --role editor")


def show_users(path: Path) -> None:
    with _access_file_problems():
        access = read_access_file(path)
    rows = [[each.display_name, each.email or "service account", str(each.id)] for each in access.users]
    terminal.table(["NAME", "EMAIL", "ID"], rows, ["bold", "", "dim"])


def add_environment(path: Path, project: str, name: str, before: str | None) -> None:
    with _access_file_problems():
        changed = declaring.add_environment(path, project, name, before)
    for environment in changed.environments:
        terminal.say(environment)


@contextmanager
def _access_file_problems() -> Iterator[None]:
    try:
        yield
    except AccessFileError as error:
        raise CannotRun(str(error)) from None
