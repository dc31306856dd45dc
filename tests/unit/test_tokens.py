"""Tokens in access.yaml are added and revoked without changing other lines."""

import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from uuid import UUID

import pytest
import yaml

from service_kit.access import tokens
from service_kit.access.file import TOKEN_PREFIX, AccessFileError, Role, hash_token
from service_kit.access.yaml_edit import CannotEdit, append_row, set_field

ORG = UUID("01980000-0000-7000-8000-000000000001")
PROJECT = UUID("01980000-0000-7000-8000-000000000002")
ANN = UUID("01980000-0000-7000-8000-000000000003")
UNKNOWN = UUID("01980000-0000-7000-8000-0000000000ff")

WRITTEN_BY_HAND = f"""\
# ours; ask Ann before changing it

users:   # people first
    - {{id: {ANN}, email: Ann@example.org, first_name: Ann}}

orgs: [{{id: {ORG}, name: "Acme, Inc."}}]
projects:
- id: {PROJECT}   # the only one
  org_id: {ORG}
  name: shop

tokens:
- id: tok_old
  user: {ANN}
  sha256: "{"0" * 64}"
  roles: {{{PROJECT}: viewer}}   # read only
  # lost with the laptop, perhaps
# the end
"""


@pytest.fixture
def access_file(tmp_path: Path) -> Path:
    path = tmp_path / "access.yaml"
    path.write_text(WRITTEN_BY_HAND)
    path.chmod(0o640)
    return path


def lines_added(before: str, after: str) -> list[str]:
    """The additional lines of `after`. Fails when a line of `before` is missing or out of order."""
    rest = iter(after.splitlines())
    added: list[str] = []
    for line in before.splitlines():
        for candidate in rest:
            if candidate == line:
                break
            added.append(candidate)
        else:
            pytest.fail(f"the line {line!r} is gone")
    return [*added, *rest]


def test_a_new_token_is_stored_only_as_its_hash(access_file):
    token = tokens.mint_token(access_file, ANN, {PROJECT: Role.EDITOR})

    row = tokens.read_access_file(access_file).tokens[-1]
    assert (row.id, row.user, row.roles, row.sha256) == (
        token.id,
        ANN,
        {PROJECT: Role.EDITOR},
        hash_token(token.secret),
    )
    assert token.secret.startswith(TOKEN_PREFIX)
    assert token.secret not in access_file.read_text()


def test_a_new_token_is_valid_until_it_expires(access_file):
    expires_at = tokens.expiry("30d")

    tokens.mint_token(access_file, ANN, {ORG: Role.ADMIN}, expires_at)

    row = tokens.read_access_file(access_file).tokens[-1]
    now = datetime.now(UTC)
    assert row.is_valid(now + timedelta(days=29))
    assert not row.is_valid(now + timedelta(days=31))


def test_adding_a_token_keeps_every_line_of_the_access_file(access_file):
    tokens.mint_token(access_file, ANN, {PROJECT: Role.EDITOR})

    added = lines_added(WRITTEN_BY_HAND, access_file.read_text())
    assert [line.split(":")[0] for line in added] == [
        "- id",
        "  user",
        "  sha256",
        "  roles",
        f"    {PROJECT}",
        "  created_at",
    ]


def test_a_token_becomes_an_operators_once_unless_the_file_says_false(access_file):
    new = tokens.mint_token(access_file, ANN, {ORG: Role.ADMIN}, is_operator=True)
    before = access_file.read_text()

    assert tokens.make_operator(access_file, "tok_old").operator
    assert tokens.make_operator(access_file, "tok_old").operator
    assert lines_added(before, access_file.read_text()) == ["  operator: true"]
    access_file.write_text(access_file.read_text().replace("operator: true", "operator: false"))
    assert not tokens.make_operator(access_file, new.id).operator


def test_a_revoked_token_stays_in_the_file_with_the_time_of_revocation(access_file):
    token = tokens.mint_token(access_file, ANN, {PROJECT: Role.EDITOR})
    before = access_file.read_text()

    tokens.revoke_token(access_file, token.id)

    old, new = tokens.read_access_file(access_file).tokens
    assert old.is_valid(datetime.now(UTC))
    assert not new.is_valid(datetime.now(UTC))
    assert [line.split(":")[0] for line in lines_added(before, access_file.read_text())] == ["  revoked_at"]


def test_revoking_a_token_twice_keeps_the_first_time(access_file):
    first = tokens.revoke_token(access_file, "tok_old")
    after_first = access_file.read_text()

    second = tokens.revoke_token(access_file, "tok_old")

    assert second.revoked_at == first.revoked_at
    assert access_file.read_text() == after_first


def test_a_service_account_is_created_once(access_file):
    first = tokens.service_account(access_file, "ci")

    second = tokens.service_account(access_file, "ci")

    assert first == second
    assert [user.name for user in tokens.read_access_file(access_file).users if user.service] == ["ci"]


def test_a_user_is_found_by_id_and_by_email(access_file):
    access = tokens.read_access_file(access_file)

    found = [tokens.find_user(access, who).id for who in (str(ANN), "ann@EXAMPLE.org")]

    assert found == [ANN, ANN]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: tokens.mint_token(path, UNKNOWN, {PROJECT: Role.VIEWER}), f"no user {UNKNOWN}"),
        (lambda path: tokens.mint_token(path, ANN, {UNKNOWN: Role.VIEWER}), f"no project or org {UNKNOWN}"),
        (lambda path: tokens.revoke_token(path, "tok_none"), "no token tok_none"),
        (lambda path: tokens.find_user(tokens.read_access_file(path), "bob"), "no user bob"),
    ],
)
def test_a_token_for_something_undeclared_is_refused_and_changes_nothing(access_file, change, words):
    with pytest.raises(AccessFileError, match=words):
        change(access_file)

    assert access_file.read_text() == WRITTEN_BY_HAND


def test_a_missing_access_file_is_named(tmp_path):
    with pytest.raises(AccessFileError, match="there is no access file"):
        tokens.mint_token(tmp_path / "access.yaml", ANN, {PROJECT: Role.VIEWER})


@pytest.mark.parametrize("lifetime", ["", "30", "0d", "-1d", "30y", "1.5h", "30 d", "123456d"])
def test_an_invalid_token_lifetime_is_refused(lifetime):
    with pytest.raises(ValueError, match="must be a number"):
        tokens.expiry(lifetime)


def test_an_edited_access_file_keeps_its_mode(access_file):
    tokens.mint_token(access_file, ANN, {PROJECT: Role.VIEWER})

    assert stat.S_IMODE(access_file.stat().st_mode) == 0o640


def test_an_edited_access_file_behind_a_link_stays_behind_the_link(access_file):
    link = access_file.parent / "link.yaml"
    link.symlink_to(access_file)

    tokens.mint_token(link, ANN, {PROJECT: Role.VIEWER})

    assert link.is_symlink()
    assert len(tokens.read_access_file(access_file).tokens) == 2


def test_the_first_access_file_is_private_and_has_no_token(tmp_path):
    path = tmp_path / "access.yaml"

    tokens.write_first_access_file(path, 'o"neil: #1')

    access = tokens.read_access_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (len(access.orgs), len(access.projects), access.tokens) == (1, 1, ())
    assert access.users[0].first_name == 'o"neil: #1'


def test_concurrent_commands_lose_no_token(access_file):
    code = dedent(f"""
        from pathlib import Path
        from uuid import UUID
        from service_kit.access import tokens
        from service_kit.access.file import Role
        for _ in range(5):
            tokens.mint_token(Path({str(access_file)!r}), UUID("{ANN}"), {{UUID("{PROJECT}"): Role.VIEWER}})
    """)
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

    processes = [subprocess.Popen([sys.executable, "-c", code], env=env) for _ in range(4)]

    assert [process.wait() for process in processes] == [0] * 4
    assert len(tokens.read_access_file(access_file).tokens) == 1 + 4 * 5


def comments(text: str) -> list[str]:
    return [line.partition("#")[2] for line in text.splitlines() if "#" in line]


ROW = {"id": "b", "roles": {"x": "viewer"}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing yet\n",
        "tokens:\n",
        "tokens: # none\n",
        "tokens: null\n",
        "tokens: ~  # none",
        "tokens: []\n",
        "tokens: [ ]  # none\nusers: []\n",
        "users: []\n",
        "users:\n  - a: 1\n\n\n",
        "tokens:\n  - id: a",
        "tokens:\n- id: a\n\n# next\nusers: []\n",
        "tokens:\n    -   id: a\n        roles: {x: viewer}\n\nusers: []\n",
        "tokens:\n  - id: a\n    note: |\n      text\n\nusers: []\n",
        "tokens: [{id: a}]\n",
        "tokens: [{id: a},\n]  # c\n",
        "tokens: [\n  {id: a},  # first\n  {id: c}  # second\n]\n",
        '{"tokens": [{"id": "a"}], "users": []}',
        '{"users": []}\n',
        '{"tokens": [], "users": []}',
        "{}\n",
        "---\ntokens:\n- id: a\n...\n",
        "tokens:\r\n- id: a\r\nusers: []\r\n",
        "  tokens:\n  - id: a\n",
        "\ufefftokens:\n- id: a\n",
        "base: &base {x: viewer}\ntokens:\n- id: a\n  roles: *base\n",
    ],
)
def test_a_row_is_appended_to_a_yaml_list_of_any_layout(text):
    changed = append_row(text, "tokens", ROW)

    was = yaml.safe_load(text) or {}
    assert yaml.safe_load(changed) == was | {"tokens": [*(was.get("tokens") or []), ROW]}
    assert comments(changed) == comments(text)
    assert ("\r\n" in changed) == ("\r\n" in text)


@pytest.mark.parametrize(
    "text",
    [
        "tokens:\n- id: a\n",
        "tokens:\n- id: a",
        "tokens:\n- id: a\n  revoked_at:\n  x: 1\n",
        "tokens:\n- id: a\n  revoked_at: null  # not yet\n",
        "tokens:\n- {id: a}\n",
        "tokens: [{id: a, x: {}}]\n",
        "tokens: [{}]\n",
        "tokens:\n-\n  id: a\n  # mine\n\n# next\n- id: b\n",
        '{"tokens": [{"id": "a"}]}',
    ],
)
def test_a_field_is_set_in_a_yaml_list_of_any_layout(text):
    changed = set_field(text, "tokens", 0, "revoked_at", "2026-01-01T00:00:00Z")

    expected = yaml.safe_load(text)
    expected["tokens"][0]["revoked_at"] = "2026-01-01T00:00:00Z"
    assert yaml.safe_load(changed) == expected
    assert comments(changed) == comments(text)


@pytest.mark.parametrize("text", ["- a\n", "tokens: 5\n", "tokens: {id: a}\n", "a: &a [1]\ntokens: *a\n"])
def test_a_yaml_text_that_cannot_be_edited_is_refused(text):
    with pytest.raises(CannotEdit):
        append_row(text, "tokens", ROW)
