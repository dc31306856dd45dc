"""An embedded Postgres without passwords: checking them for all connections would slow the tests down."""

from flowpin_cli.postgres.cluster import Cluster
from flowpin_cli.postgres.dump import split_password
from flowpin_cli.postgres.passwords import SUPERUSER


def ask_for_no_password(cluster: Cluster) -> None:
    """Change the configuration before it starts."""
    (cluster.folder.postgres / "pg_hba.conf").write_text("local all all trust\n")


def url(cluster: Cluster, role: str = SUPERUSER) -> str:
    """A URL without a password."""
    return split_password(cluster.url(role))[0]
