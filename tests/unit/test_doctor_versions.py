"""The doctor tells the versions that go together from those that do not."""

import pytest

from flowpin_cli.doctor.installation import is_within, package


@pytest.mark.parametrize(
    ("version", "sign", "bound", "holds"),
    [
        ("1.85.1", ">=", "1.85.1", True),
        ("1.85.0", ">=", "1.85.1", False),
        ("1.100.0", ">=", "1.85.1", True),
        ("2.0", "<", "2", False),
        ("1.99.9", "<", "2", True),
        ("18.0", "==", "18", True),
        ("7.36.2rc1", ">=", "7.36.2", True),
    ],
)
def test_versions_are_compared_by_number(version, sign, bound, holds):
    assert is_within(version, sign, bound) == holds


@pytest.mark.parametrize("requirement", ["grpcio<2,>=1.85.1", "rich>=13", "typer", 'pytest>=8; python_version > "3"'])
def test_a_package_as_it_is_needed_is_no_finding(requirement):
    assert package(requirement) is None


@pytest.mark.parametrize(
    ("requirement", "what"),
    [
        ("grpcio<2,>=1.999", "is not what Flowpin needs: <2,>=1.999"),
        ("grpcio<1", "is not what Flowpin needs: <1"),
        ("no-such-package>=1", "The package no-such-package is missing"),
    ],
)
def test_another_version_is_a_problem_with_the_command_that_mends_it(requirement, what):
    found = package(requirement)

    assert what in found.what
    assert found.do == f"pip install '{requirement}'"
