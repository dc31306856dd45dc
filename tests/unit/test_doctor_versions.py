"""`flowpin doctor` detects packages whose versions do not fit together."""

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
def test_doctor_compares_versions_by_number(version, sign, bound, holds):
    assert is_within(version, sign, bound) == holds


@pytest.mark.parametrize("requirement", ["grpcio<2,>=1.85.1", "rich>=13", "typer", 'pytest>=8; python_version > "3"'])
def test_doctor_accepts_a_package_of_the_required_version(requirement):
    assert package(requirement) is None


@pytest.mark.parametrize(
    ("requirement", "what"),
    [
        ("grpcio<2,>=1.999", "is not what Flowpin needs: <2,>=1.999"),
        ("grpcio<1", "is not what Flowpin needs: <1"),
        ("no-such-package>=1", "The package no-such-package is missing"),
    ],
)
def test_doctor_finds_a_wrong_version_and_shows_the_command_that_installs_the_right_one(requirement, what):
    found = package(requirement)

    assert what in found.what
    assert found.do == f"pip install '{requirement}'"
