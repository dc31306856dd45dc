"""URLs of Postgres may have passwords that are not quoted."""

from urllib.parse import unquote, urlsplit

import pytest
from pydantic import ValidationError

from service_kit.database_urls import MUST, quoted
from workflow_service.settings import Settings

PASSWORDS = ["a/b", "a#b", "a?b", "a@b", "a:b", "a[b", "a]b", "1/b", "a b", "/#?@:[]", "x@y/z", "a&b=c", "ä", "100%"]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("rest", ["postgres/flowpin", "[::1]:5432/flowpin?sslmode=require", "h:1,i:2/flowpin"])
def test_a_database_url_may_have_any_password_unquoted(password: str, rest: str):
    parts = urlsplit(quoted(f"postgresql://flowpin_deploy:{password}@{rest}"))

    assert unquote(parts.password or "") == password
    assert (parts.username, parts.netloc.rpartition("@")[2] + parts.path) == ("flowpin_deploy", rest.partition("?")[0])
    assert parts.query == rest.partition("?")[2]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://flowpin:a%2Fb@host:5432/flowpin",
        "postgres://host/flowpin?host=/tmp/socket",
        "postgresql:///flowpin?host=%2Ftmp%2Fsocket&user=flowpin",
        "postgresql://flowpin@/flowpin?host=/tmp/socket",
        "postgresql://flowpin:secret@host/flowpin?application_name=a@b",
    ],
)
def test_a_valid_database_url_is_unchanged(url: str):
    assert quoted(url) == url


@pytest.mark.parametrize("url", ["", "host/flowpin", "mysql://u:secret@host/x", "postgresql://u:secret#host", "secret"])
def test_an_invalid_database_url_is_refused_without_repeating_it(url: str):
    with pytest.raises(ValidationError) as refused:
        Settings(database_url=url)

    [error] = refused.value.errors()
    assert error["loc"] == ("database_url",)
    assert error["msg"] == f"Value error, {MUST}"
