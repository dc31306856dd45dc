"""Adds projects, users and environments to access.yaml."""

import re
from collections.abc import Sequence
from pathlib import Path

from service_kit.access.file import AccessFile, AccessFileError, Org, Project, User
from service_kit.access.tokens import changed, find_user
from service_kit.access.yaml_edit import append_row, insert_item, set_field
from service_kit.ids import new_id

ENVIRONMENT_NAME = re.compile(r"[a-z0-9]([a-z0-9]|-(?=[a-z0-9])){0,62}")


def add_project(path: Path, name: str, org: str | None, environments: Sequence[str]) -> Project:
    """Declare a project in an org (id or name), by default in the only org. Raises AccessFileError."""
    with changed(path) as file:
        owner = _find_org(file.access, org)
        if any(project.name == name and project.org_id == owner.id for project in file.access.projects):
            raise AccessFileError(f"there is a project {name} already in {owner.name}")
        for environment in environments:
            _check_environment(environment)
        names = tuple(environments) or Project.model_fields["environments"].default
        project = Project(id=new_id(), name=name, org_id=owner.id, environments=names)
        row = {"id": str(project.id), "name": name, "org_id": str(owner.id), "environments": list(names)}
        file.write(append_row(file.text, "projects", row))
    return project


def add_user(path: Path, email: str, first_name: str, last_name: str) -> User:
    """Declare a person. Raises AccessFileError."""
    with changed(path) as file:
        if any(user.email.lower() == email.lower() for user in file.access.users):
            raise AccessFileError(f"there is a user {email} already, {find_user(file.access, email).id}")
        names = {"first_name": first_name, "last_name": last_name}
        row = {"id": str(new_id()), "email": email} | {name: value for name, value in names.items() if value}
        user = User.model_validate(row)
        file.write(append_row(file.text, "users", row))
    return user


def add_environment(path: Path, project: str, name: str, before: str | None) -> Project:
    """Add an environment to a project (id or name), before another environment or, by default, before the last.

    The last environment is the default of every call, so a new one is never added after it. Raises AccessFileError.
    """
    with changed(path) as file:
        index, found = _find_project(file.access, project)
        _check_environment(name)
        if name in found.environments:
            raise AccessFileError(f"there is an environment {name} already in {found.name}")
        following = before or found.environments[-1]
        if following not in found.environments:
            raise AccessFileError(
                f"no environment {following} in {found.name}; there are {', '.join(found.environments)}"
            )
        place = found.environments.index(following)
        names = [*found.environments[:place], name, *found.environments[place:]]
        if "environments" in found.model_fields_set:
            file.write(insert_item(file.text, "projects", index, "environments", place, name))
        else:
            file.write(set_field(file.text, "projects", index, "environments", names))
    return found.model_copy(update={"environments": tuple(names)})


def _check_environment(name: str) -> None:
    if not ENVIRONMENT_NAME.fullmatch(name):
        raise AccessFileError(f"environments are named with small letters, digits and single hyphens, not {name}")


def _find_org(access: AccessFile, named: str | None) -> Org:
    if named is None and len(access.orgs) == 1:
        return access.orgs[0]
    found = [org for org in access.orgs if named in (str(org.id), org.name)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{org.id} ({org.name})" for org in access.orgs) or "none"
    raise AccessFileError(f"{f'no org {named}' if named else 'say which org'}; declared are: {known}")


def _find_project(access: AccessFile, named: str) -> tuple[int, Project]:
    found = [(index, each) for index, each in enumerate(access.projects) if named in (str(each.id), each.name)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{project.id} ({project.name})" for project in access.projects) or "none"
    raise AccessFileError(f"{'no' if not found else 'more than one'} project {named}; declared are: {known}")
