"""Our side of the comparison: the same requests through our gateway for every peer, with as many callers."""

from tests.load.bench.context import Bench
from tests.load.bench.request import Request, post
from tests.load.bench.result import Load
from tests.load.bench.rows.deploys import of_apps
from tests.load.bench.seeds import Seeds
from tests.load.peers.figure import CALLERS, seconds


class Ours:
    def __init__(self, bench: Bench) -> None:
        self._bench, self._seeds = bench, Seeds(bench)

    def save(self) -> Load:
        """Save a version, on a hundred workflows in turn."""
        return self._drive(self.saves)

    def get_version(self) -> Load:
        return self._drive(self.version_reads)

    def deploy(self) -> Load:
        """Deploy another version than the live one, on fifty apps in turn."""
        return self._drive(self.deploys)

    def get_app(self) -> Load:
        return self._drive(self.app_reads)

    @property
    def saves(self) -> list[Request]:
        body = self._bench.content.body
        return [post(f"{workflow.path}/save", body) for workflow in self._seeds.spread]

    @property
    def version_reads(self) -> list[Request]:
        return [Request(path) for path in self.version_paths]

    @property
    def deploys(self) -> list[Request]:
        return of_apps(self._seeds)

    @property
    def app_reads(self) -> list[Request]:
        return [Request(f"/v1/apps/{app}") for app in self._seeds.apps]

    @property
    def version_paths(self) -> list[str]:
        return self._seeds.read.version_paths

    def _drive(self, requests: list[Request]) -> Load:
        return self._bench.rest(requests, seconds(self._bench), CALLERS)
