"""What an access file may contain, and how a wrong one is refused."""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import yaml

from service_kit.access.file import AccessFileError, Role, User, hash_token, parse_access_file

ORG, PROJECT, USER = (f"01980000-0000-7000-8000-00000000000{number}" for number in (1, 2, 3))
SECRET = "dyn_pat_the-secret-itself"


def declared(**changes) -> dict:
    token = {"id": "tok_1", "user": USER, "sha256": hash_token(SECRET), "roles": {PROJECT: "editor"}}
    return {
        "orgs": [{"id": ORG, "name": "acme"}],
        "projects": [{"id": PROJECT, "name": "one", "org_id": ORG}],
        "users": [{"id": USER, "email": "ada@acme.test"}],
        "tokens": [{**token, **changes.pop("token", {})}],
        **changes,
    }


def message_of(text: str) -> str:
    with pytest.raises(AccessFileError) as caught:
        parse_access_file(text)
    return str(caught.value)


def test_an_access_file_with_every_field_is_read():
    access = parse_access_file(yaml.safe_dump(declared()))

    assert access.tokens[0].roles == {UUID(PROJECT): Role.EDITOR}
    assert access.projects[0].environments == ("production",)


def test_an_empty_access_file_declares_nobody():
    assert parse_access_file("").tokens == ()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("tokens: [", "not YAML"),
        ("\0", "not YAML"),
        # PyYAML raises no error of its own for these.
        ("expires_at: 2024-13-45", "month must be in 1..12"),
        ("a: 0b_", "not YAML"),
        ("a: !!bool perhaps", "has the tag 'tag:yaml.org,2002:bool' at line 1, which no access file needs"),
        ("\na: !!timestamp today", "has the tag 'tag:yaml.org,2002:timestamp' at line 2, which no access file needs"),
    ],
)
def test_an_access_file_that_is_not_yaml_is_refused(text, named):
    assert named in message_of(text)


def billion_laughs(levels: int, last: str) -> str:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join([*lines, last])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[" * 5000, "is nested deeper than 10 levels"),
        ("- " * 5000, "is nested deeper than 10 levels"),
        (
            billion_laughs(8, f"tokens: [{{roles: {{{PROJECT}: *l7}}}}]"),
            "holds more than 1,000,000 values, aliases written out",
        ),
        ("a: " + "1" * 5000, "has a text of more than 1,000 characters at line 1"),
        ("#" * (17 << 20), "is longer than 16,777,216 characters"),
    ],
)
def test_a_hostile_access_file_is_refused_quickly(text, sentence):
    began = time.process_time()

    assert message_of(text) == sentence
    assert time.process_time() - began < 5


def test_the_number_of_problems_named_in_an_access_file_is_limited():
    assert message_of("tokens: [" + "7, " * 1000 + "]").endswith("and 980 more")


def test_texts_in_an_access_file_may_have_the_yaml_tag_str():
    access = parse_access_file(f"orgs: !!seq [!!map {{id: {ORG}, name: !!str 404}}]")

    assert access.orgs[0].name == "404"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"token": {"sha256": SECRET}}, "tokens.0.sha256"),
        ({"token": {"roles": {PROJECT: "owner"}}}, "must be viewer, editor, admin or runner"),
        ({"token": {"roles": {PROJECT: "operator"}}}, "an operator's token has `operator: true`"),
        ({"token": {"roles": {USER: "editor"}}}, f"token tok_1: no project or org {USER}"),
        ({"token": {"user": ORG}}, f"token tok_1: no user {ORG}"),
        ({"token": {"expires_at": "2030-01-01T00:00:00"}}, "tokens.0.expires_at"),
        ({"token": {"expiry": "2030-01-01T00:00:00Z"}}, "tokens.0.expiry"),
        ({"orgs": []}, f"project {PROJECT}: no org {ORG}"),
        ({"users": [{"id": USER}, {"id": USER}]}, f"users: {USER} is duplicated"),
        ({"projects": [{"id": PROJECT, "name": "", "org_id": ORG, "environments": []}]}, "projects.0.environments"),
        (
            {"projects": [{"id": PROJECT, "name": "", "org_id": ORG, "environments": ["a", "a"]}]},
            f"environments of project {PROJECT}: a is duplicated",
        ),
        ({"tokens": declared()["tokens"] * 2}, "tokens: tok_1 is duplicated"),
        ({"tokens": [declared()["tokens"][0], declared(token={"id": "tok_2"})["tokens"][0]]}, "token hashes"),
        ({"people": []}, "people"),
    ],
)
def test_each_wrong_field_of_an_access_file_is_named(changes, named):
    assert named in message_of(yaml.safe_dump(declared(**changes)))


def test_a_token_pasted_where_its_hash_belongs_is_not_repeated():
    assert SECRET not in message_of(yaml.safe_dump(declared(token={"sha256": SECRET})))


@pytest.mark.parametrize(
    ("changes", "valid"),
    [
        ({}, True),
        ({"expires_at": "2030-01-01T00:00:00Z"}, True),
        ({"expires_at": "2029-12-31T23:59:59Z"}, False),
        ({"expires_at": "2030-01-01T00:00:00+01:00"}, False),
        ({"revoked_at": "2040-01-01T00:00:00Z"}, False),
    ],
)
def test_a_token_is_valid_until_it_expires_or_is_revoked(changes, valid):
    token = parse_access_file(yaml.safe_dump(declared(token=changes))).tokens[0]

    assert token.is_valid(datetime(2030, 1, 1, tzinfo=UTC) - timedelta(microseconds=1)) is valid


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"name": "robot", "first_name": "R"}, "robot"),
        ({"first_name": "Ada", "last_name": "Lovelace"}, "Ada Lovelace"),
        ({"first_name": "Ada"}, "Ada"),
        ({"email": "ada@acme.test"}, "ada@acme.test"),
        ({}, USER),
    ],
)
def test_a_user_is_shown_by_name_else_email_else_id(fields, name):
    assert User(id=UUID(USER), **fields).display_name == name


LONG = "rvgy1nIdDbWX5_iZiRD3YqHST7AGResvg9BP2oUirdA"


@pytest.mark.parametrize("secret", [f"dyn_pat_{LONG}", LONG])
@pytest.mark.parametrize(
    "line",
    [
        "{}: x",
        "x: !{} y",
        "x: !<{}> y",
        "x: *{}",
        "  {}: admin",
        "- id: {}",
        "x: '{}",
        "environments: [{0}, {0}]",
        "@{}",
    ],
)
def test_the_message_about_a_wrong_access_file_contains_no_pasted_token(line: str, secret: str):
    text = yaml.safe_dump(declared(), sort_keys=False)

    for where in (text, text.replace("roles:\n", f"roles:\n    {line.format(secret)}\n")):
        assert LONG[:12] not in message_of(f"{where}{line.format(secret)}\n")


@pytest.mark.parametrize(
    "changes",
    [
        {"token": {"id": LONG, "user": PROJECT}},
        {"token": {LONG: 1}},
        {"token": {"roles": {LONG: "admin"}}},
        {"token": {"user": LONG}},
        {"tokens": [{"id": LONG}]},
        {"projects": [{"id": PROJECT, "name": "a", "org_id": ORG, "environments": [LONG, LONG]}]},
    ],
)
def test_the_message_about_a_wrong_access_field_contains_no_pasted_token(changes: dict):
    assert LONG[:12] not in message_of(yaml.safe_dump(declared(**changes)))
