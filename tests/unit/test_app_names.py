"""Which app a request names: by its Host header or by its path."""

from uuid import UUID

import pytest

from run_service.router.names import Address, AppName, address_of

APP = UUID("01980000-0000-7000-8000-000000000003")
DOMAIN = "apps.example.test"


@pytest.mark.parametrize(
    ("host", "path", "environment", "rest"),
    [
        (f"{APP}.{DOMAIN}", "/", None, "/"),
        (f"{APP}.{DOMAIN}:8081", "/", None, "/"),
        (f"{APP}.{DOMAIN}.", "/", None, "/"),
        (f"{str(APP).upper()}.{DOMAIN.upper()}", "/", None, "/"),
        (f"{APP}--staging.{DOMAIN}", "/", "staging", "/"),
        (f"{APP}.{DOMAIN}", "/apps/x", None, "/apps/x"),
        ("127.0.0.1:8081", f"/apps/{APP}", None, ""),
        ("127.0.0.1:8081", f"/apps/{APP}/", None, "/"),
        ("[::1]:8081", f"/apps/{APP}--Stage 2/", "Stage 2", "/"),
        ("localhost", f"/apps/{APP}/a/b", None, "/a/b"),
        ("", f"/apps/{APP}", None, ""),
    ],
)
def test_an_app_is_named_by_host_or_path(host: str, path: str, environment: str | None, rest: str):
    assert address_of(host, path, DOMAIN) == Address(AppName(APP, environment), rest)


@pytest.mark.parametrize(
    ("host", "path"),
    [
        (DOMAIN, "/"),
        (f".{DOMAIN}", "/"),
        (f"{APP}.other.test", "/"),
        (f"{APP}{DOMAIN}", "/"),
        (f"x.{APP}.{DOMAIN}", "/"),
        (f"{APP}--.{DOMAIN}", "/"),
        (f"{APP}-staging.{DOMAIN}", "/"),
        (f"{APP.hex}.{DOMAIN}", "/"),
        (f"{APP}.{DOMAIN}:port", "/"),
        ("127.0.0.1", "/"),
        ("127.0.0.1", "/apps"),
        ("127.0.0.1", "/apps/"),
        ("127.0.0.1", f"/app/{APP}"),
        ("127.0.0.1", f"/x/apps/{APP}"),
        ("127.0.0.1", f"/apps/{{{APP}}}"),
        ("127.0.0.1", f"/apps/{APP}--"),
    ],
)
def test_a_request_that_names_no_app_is_refused(host: str, path: str):
    assert address_of(host, path, DOMAIN) is None
