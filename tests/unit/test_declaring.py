"""Projects, users and environments are added to access.yaml, and its comments stay."""

import pytest

from service_kit.access import declaring
from service_kit.access.file import AccessFileError, parse_access_file

ORG, PROJECT = "01980000-0000-7000-8000-000000000001", "01980000-0000-7000-8000-000000000002"
TEXT = f"""\
# who may call

orgs:
  - id: {ORG}   # ours
    name: acme

projects:  # in the order of the alphabet
  - id: {PROJECT}
    name: shop
    org_id: {ORG}
    environments: [production]  # the last one is the default

users: []
# the end
"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "access.yaml"
    file.write_text(TEXT)
    return file


def declared(path):
    return parse_access_file(path.read_text())


def comments(text: str) -> list[str]:
    return [line.partition("#")[2] for line in text.splitlines() if "#" in line]


def test_a_new_project_is_added_to_the_only_org_and_comments_stay(path):
    project = declaring.add_project(path, "blog", None, ["staging", "production"])

    assert declared(path).projects[1] == project
    assert (project.name, str(project.org_id), project.environments) == ("blog", ORG, ("staging", "production"))
    assert comments(path.read_text()) == comments(TEXT)


def test_a_user_is_added_to_an_empty_list(path):
    user = declaring.add_user(path, "ann@example.org", "Ann", "")

    assert declared(path).users == (user,)
    assert comments(path.read_text()) == comments(TEXT)


@pytest.mark.parametrize(
    "environments",
    [
        "environments: [production]  # the last one is the default",
        "environments:  # the last one is the default\n      - production",
        "environments:\n    # the last one is the default\n    - production",
    ],
)
def test_an_environment_is_added_before_the_default_one_in_any_list_layout(path, environments):
    path.write_text(TEXT.replace("environments: [production]  # the last one is the default", environments))

    declaring.add_environment(path, "shop", "staging", None)
    project = declaring.add_environment(path, PROJECT, "test", "staging")

    assert declared(path).projects[0].environments == project.environments == ("test", "staging", "production")
    assert comments(path.read_text()) == comments(TEXT)


def test_an_environment_is_added_to_a_project_that_names_none(path):
    path.write_text(TEXT.replace("    environments: [production]  # the last one is the default\n", ""))

    declaring.add_environment(path, "shop", "staging", None)

    assert declared(path).projects[0].environments == ("staging", "production")


@pytest.mark.parametrize(
    ("add", "said"),
    [
        (lambda path: declaring.add_project(path, "shop", None, []), "a project shop already"),
        (lambda path: declaring.add_project(path, "blog", "globex", []), "no org globex"),
        (lambda path: declaring.add_project(path, "blog", None, ["Staging"]), "not Staging"),
        (lambda path: declaring.add_environment(path, "blog", "staging", None), "no project blog"),
        (lambda path: declaring.add_environment(path, "shop", "a--b", None), "not a--b"),
        (lambda path: declaring.add_environment(path, "shop", "production", None), "production already"),
        (lambda path: declaring.add_environment(path, "shop", "staging", "test"), "no environment test"),
    ],
)
def test_a_refused_addition_to_the_access_file_is_named_and_changes_nothing(path, add, said):
    with pytest.raises(AccessFileError, match=said):
        add(path)

    assert path.read_text() == TEXT


def test_an_email_that_is_already_declared_is_refused(path):
    declaring.add_user(path, "ann@example.org", "", "")

    with pytest.raises(AccessFileError, match=r"a user ANN@example\.org already"):
        declaring.add_user(path, "ANN@example.org", "", "")
