"""An app's hostname is a name in a domain or a URL, depending on a setting."""

from uuid import UUID

import pytest

from deploy_service.messages import hostname_of
from service_kit.access.file import Project

APP = UUID(int=7)
PROJECT = Project(id=UUID(int=1), name="p", org_id=UUID(int=2), environments=("staging", "production"))


@pytest.mark.parametrize(
    ("domain", "environment", "hostname"),
    [
        ("apps.localhost", "production", f"{APP}.apps.localhost"),
        ("apps.localhost", "staging", f"{APP}--staging.apps.localhost"),
        ("http://127.0.0.1:8081/apps/{app}", "production", f"http://127.0.0.1:8081/apps/{APP}"),
        ("http://127.0.0.1:8081/apps/{app}", "staging", f"http://127.0.0.1:8081/apps/{APP}--staging"),
    ],
)
def test_an_apps_hostname_follows_the_setting(domain, environment, hostname):
    assert hostname_of(APP, environment, PROJECT, domain) == hostname
