"""The embedded Postgres requires the password of every role, also from the user who runs it."""

import os
import pwd
from pathlib import Path

import asyncpg
import pytest

from flowpin_cli.machine.data_folder import DataFolder, locked
from flowpin_cli.postgres.alone import embedded_url, postgres_alone
from flowpin_cli.postgres.dump import split_password
from flowpin_cli.postgres.passwords import FILE, ROLES, SERVING_ROLES, SUPERUSER

pytestmark = pytest.mark.slow


async def whoami(url: str) -> str:
    db = await asyncpg.connect(url)
    try:
        return await db.fetchval("SELECT current_user")
    finally:
        await db.close()


async def make_roles(url: str) -> None:
    db = await asyncpg.connect(url)
    for role in set(ROLES) - {SUPERUSER}:
        await db.execute(f"CREATE ROLE {role} LOGIN")
    await db.close()


async def test_the_embedded_postgres_refuses_every_role_without_its_password(tmp_path: Path):
    with locked(tmp_path / "data") as folder:
        async with postgres_alone(folder) as databases:
            await make_roles(databases.admin_url)
        async with postgres_alone(folder) as databases:  # the existing roles have no password yet
            bare = split_password(databases.admin_url)[0]
            for role in ROLES:
                for tried in ("", ":wrong"):
                    url = bare.replace(f"{SUPERUSER}@", f"{role}{tried}@")
                    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
                        await whoami(url)

            assert await whoami(databases.admin_url) == SUPERUSER
            assert await whoami(embedded_url(folder) or "") == SUPERUSER
        rules = (folder.postgres / "pg_hba.conf").read_text()
        idents = (folder.postgres / "pg_ident.conf").read_text()

    assert [line for line in rules.splitlines() if not line.startswith("#")] == ["local all all scram-sha-256"]
    assert [line for line in idents.splitlines() if not line.startswith("#")] == []
    assert (folder.path / FILE).stat().st_mode & 0o777 == 0o600


def as_an_earlier_release_leaves_it(folder: DataFolder) -> None:
    """An earlier release accepted the user of `flowpin up` as any role."""
    (folder.postgres / "pg_hba.conf").write_text("local all all peer map=flowpin\n")
    (folder.postgres / "pg_ident.conf").write_text(f'flowpin "{pwd.getpwuid(os.geteuid()).pw_name}" all\n')
    (folder.path / FILE).unlink()


def as_a_restore_leaves_it(folder: DataFolder) -> None:
    (folder.path / FILE).unlink()


def as_another_set_of_passwords(folder: DataFolder) -> None:
    kept = (folder.path / FILE).read_text()
    (folder.path / FILE).write_text(kept.replace('": "', '": "x'))


@pytest.mark.parametrize(
    "change", [as_an_earlier_release_leaves_it, as_a_restore_leaves_it, as_another_set_of_passwords]
)
async def test_roles_of_an_existing_data_folder_get_the_passwords_of_the_folder(tmp_path: Path, change):
    with locked(tmp_path / "data") as folder:
        async with postgres_alone(folder) as databases:
            before = databases.admin_url
            await make_roles(before)
        change(folder)

        async with postgres_alone(folder) as databases:
            urls = [databases.admin_url, *map(databases.url_of, SERVING_ROLES.values())]
            found = [await whoami(url) for url in urls]
            password = split_password(before)[1]
            with pytest.raises(asyncpg.InvalidPasswordError):
                await whoami(split_password(databases.admin_url)[0].replace("@", f":{password}@", 1))

    assert found == [SUPERUSER, *SERVING_ROLES.values()]
