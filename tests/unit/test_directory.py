"""Whose token a secret is, and where it holds which role."""

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


def test_a_role_in_an_org_holds_in_its_projects_and_no_other(people):
    assert roles_of(people, "admin") == {people.project: Role.ADMIN, people.staged: Role.ADMIN}


def test_the_greater_of_two_roles_holds(people):
    declared = people.declared()
    tokens = {token["id"]: token for token in declared["tokens"]}
    tokens["tok_editor"]["roles"] = {str(people.org): "viewer", str(people.project): "editor"}
    tokens["tok_admin"]["roles"] = {str(people.org): "editor", str(people.project): "viewer"}
    people.write(declared)

    assert roles_of(people, "editor") == {people.project: Role.EDITOR, people.staged: Role.VIEWER}
    assert roles_of(people, "admin") == {people.project: Role.EDITOR, people.staged: Role.EDITOR}


@pytest.mark.parametrize("secret", ["", "x", "dyn_pat_"])
def test_an_unknown_secret_is_nobodys(people, secret):
    assert AccessRegistry(people.path).principal_of(secret) is None


@pytest.mark.parametrize("token", ["expired", "revoked"])
def test_a_token_that_ended_is_nobodys(people, token):
    assert AccessRegistry(people.path).principal_of(people.secret(token)) is None


@pytest.mark.parametrize("content", [None, b"tokens: [", b"\xff\xfe"], ids=["missing", "not YAML", "not UTF-8"])
def test_without_a_sound_file_there_is_no_directory(people, content):
    people.path.unlink() if content is None else people.path.write_bytes(content)

    with pytest.raises(AccessFileError):
        AccessRegistry(people.path)


def test_a_caller_sees_more_than_it_may_change(people):
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
