"""What makes an embedded Postgres fast enough for thousands of tests."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flowpin_cli.postgres.cluster import Cluster
from flowpin_cli.postgres.dump import split_password
from flowpin_cli.postgres.passwords import SUPERUSER

MEMORY = Path("/dev/shm")
NEEDED_BYTES = 4 << 30


@contextmanager
def fast_folder() -> Iterator[Path]:
    """A temporary folder, in memory if there is enough. A copy of a database has 300 files, and a disk may take half a
    second to write them."""
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > NEEDED_BYTES
    with tempfile.TemporaryDirectory(prefix="flowpin-tests-", dir=MEMORY if in_memory else None) as folder:
        yield Path(folder)


def ask_for_no_password(cluster: Cluster) -> None:
    """Change the configuration before the start: checking passwords would slow down all connections."""
    (cluster.folder.postgres / "pg_hba.conf").write_text("local all all trust\n")


def keep_little_log(cluster: Cluster) -> None:
    """Change the configuration before the start: the folder is in memory."""
    with (cluster.folder.postgres / "postgresql.conf").open("a") as settings:
        settings.write("\nmax_wal_size = 256MB\n")


def url(cluster: Cluster, role: str = SUPERUSER) -> str:
    """A URL without a password."""
    return split_password(cluster.url(role))[0]
