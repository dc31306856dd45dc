"""The registry finds the principal of a secret, and its roles."""

from pathlib import Path

import pytest

from service_kit.access.caller import Caller
from service_kit.access.file import AccessFileError, Role
from service_kit.access.registry import AccessRegistry
from service_kit.errors import InsufficientRole, ProjectNotFound
from tests.support.stack import People


@pytest.fixture
def people(tmp_path: Path) -> People:
    people = People(tmp_path / "access.yaml")
    people.write()
    return people


def roles_of(people: People, token: str) -> dict:
    return dict(AccessRegistry(people.path).principal_of(people.secret(token)).roles)


def test_a_role_in_an_org_applies_to_all_its_projects_and_no_others(people):
    assert roles_of(people, "admin") == {people.project: Role.ADMIN, people.staged: Role.ADMIN}


def test_the_higher_of_two_roles_applies(people):
    declared = people.declared()
    tokens = {token["id"]: token for token in declared["tokens"]}
    tokens["tok_editor"]["roles"] = {str(people.org): "viewer", str(people.project): "editor"}
    tokens["tok_admin"]["roles"] = {str(people.org): "editor", str(people.project): "viewer"}
    people.write(declared)

    assert roles_of(people, "editor") == {people.project: Role.EDITOR, people.staged: Role.VIEWER}
    assert roles_of(people, "admin") == {people.project: Role.EDITOR, people.staged: Role.EDITOR}


@pytest.mark.parametrize("secret", ["", "x", "dyn_pat_"])
def test_an_unknown_secret_has_no_principal(people, secret):
    assert AccessRegistry(people.path).principal_of(secret) is None


@pytest.mark.parametrize("token", ["expired", "revoked"])
def test_an_expired_or_revoked_token_has_no_principal(people, token):
    assert AccessRegistry(people.path).principal_of(people.secret(token)) is None


@pytest.mark.parametrize("content", [None, b"tokens: [", b"\xff\xfe"], ids=["missing", "not YAML", "not UTF-8"])
def test_the_registry_does_not_open_without_a_valid_access_file(people, content):
    people.path.unlink() if content is None else people.path.write_bytes(content)

    with pytest.raises(AccessFileError):
        AccessRegistry(people.path)


def test_a_caller_may_see_projects_that_it_may_not_change(people):
    declared = people.declared()
    editor = next(token for token in declared["tokens"] if token["id"] == "tok_editor")
    editor["roles"] = {str(people.project): "editor", str(people.staged): "viewer"}
    people.write(declared)

    principal = AccessRegistry(people.path).principal_of(people.secret("editor"))
    caller = Caller(principal, Role.EDITOR, request_id="r", idempotency_key=None, if_match=None)

    assert caller.permitted_projects == (people.project,)
    assert set(caller.visible_projects) == {people.project, people.staged}
    assert caller.project(people.project).name == "one"
    with pytest.raises(InsufficientRole):
        caller.project(people.staged)
    with pytest.raises(InsufficientRole):
        caller.require(people.project, Role.ADMIN)
    with pytest.raises(ProjectNotFound):
        caller.project(people.foreign)
