"""A Postgres like an administrator's: over TCP, with passwords."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TcpPostgres:
    port: int
    password: str = "an administrator's"

    def url(self, database: str = "flowpin") -> str:
        return f"postgresql://postgres:an%20administrator%27s@127.0.0.1:{self.port}/{database}"
