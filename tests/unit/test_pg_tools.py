"""The password of a database is not on a command line, where other users could read it."""

import pytest

from flowpin_cli.postgres.dump import split_password


@pytest.mark.parametrize(
    ("url", "without", "password"),
    [
        ("postgresql://a:b%40c%2F@h:5/d", "postgresql://a@h:5/d", "b@c/"),
        ("postgresql://a@h/d?password=b&sslmode=require", "postgresql://a@h/d?sslmode=require", "b"),
        ("postgresql://a@/d?host=/tmp/x&port=1", "postgresql://a@/d?host=/tmp/x&port=1", None),
        ("postgresql://a%40b:c@h1,h2:1/d", "postgresql://a%40b@h1,h2:1/d", "c"),
        ("postgresql://h/d", "postgresql://h/d", None),
    ],
)
def test_the_password_is_removed_from_the_url_on_a_command_line(url, without, password):
    assert split_password(url) == (without, password)
