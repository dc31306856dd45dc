"""Registers installed runtimes at the deploy service of an installation."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib import request as http
from urllib.error import HTTPError

from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import found, holder
from flowpin_cli.rest.trust import CA_VARIABLE, context_of
from flowpin_cli.runtimes.folder import Runtimes, digest_of

CALL_SECONDS = 10.0
LATEST = "latest"


@dataclass(frozen=True)
class Registry:
    """The gateway's URL, and an operator's token.

    It uses only the standard library, because `flowpin up`, which forks children, must not load gRPC.
    """

    url: str
    token: str
    ca: str = ""
    """The file of the authority that signed the gateway's certificate. Empty for the authorities of the machine."""

    def register(self, runtimes: Runtimes) -> list[str]:
        """Register each installed runtime with its lock. Returns the versions that were missing or had another lock.
        Raises CannotRun."""
        known = {each["version"]: each for each in self._call("GET", "/v1/runtimes?page_size=500")}
        changed = []
        for runtime in runtimes.all():
            lock = runtimes.lock_of(runtime.version)
            row = known.get(runtime.version)
            if row is not None and row.get("lock_digest") == f"sha256:{digest_of(lock)}":
                continue
            if row is None:
                new = {"version": runtime.version, "label": f"Dynamiq {runtime.version}", "lock": lock}
                self._call("POST", "/v1/runtimes", new)
            else:
                self._call("PUT", f"/v1/runtimes/{row['id']}", {"lock": lock})
            changed.append(runtime.version)
        return changed

    def lock_of(self, version: str, digest: str) -> str:
        """The registered lock of a runtime: the latest, or an earlier one by its digest. Raises CannotRun."""
        rows = self._call("GET", "/v1/runtimes?page_size=500")
        row = next((each for each in rows if each["version"] == version), None)
        if row is None:
            raise CannotRun(f"{self.url} has no runtime {version}")
        asked = "" if digest == LATEST else f"?digest={digest}"
        kept = self._call("GET", f"/v1/runtimes/{row['id']}/lock{asked}")
        if kept["digest"] != f"sha256:{digest_of(kept['lock'])}":
            raise CannotRun(f"the lock that {self.url} returned does not match its digest")
        return str(kept["lock"])

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        sent = None if body is None else json.dumps(body).encode()
        call = http.Request(f"{self.url}{path}", sent, headers, method=method)  # noqa: S310 - as the person set it up
        try:
            with http.urlopen(call, timeout=CALL_SECONDS, context=context_of(self.ca)) as answer:  # noqa: S310
                return json.load(answer)["data"]
        except HTTPError as error:
            said = ""
            with suppress(ValueError, KeyError, TypeError):
                said = json.loads(error.read())["error"]["message"]
            raise CannotRun(f"{method} {path} was answered with {error.code}: {said or error.reason}") from None
        except (OSError, ValueError, KeyError) as error:
            raise CannotRun(f"{self.url} does not answer: {error}") from None


def registry_of(data: Path, environ: Mapping[str, str]) -> Registry | None:
    """The registry at FLOWPIN_URL with FLOWPIN_TOKEN, or otherwise that of the `flowpin up` on the data folder."""
    if environ.get("FLOWPIN_URL") and environ.get("FLOWPIN_TOKEN"):
        return Registry(environ["FLOWPIN_URL"].rstrip("/"), environ["FLOWPIN_TOKEN"], environ.get(CA_VARIABLE, ""))
    if not data.exists() or holder(data) is None:
        return None
    env = found(data).env()
    if "FLOWPIN_TOKEN" not in env:
        return None
    return Registry(env["FLOWPIN_URL"], env["FLOWPIN_TOKEN"], env.get(CA_VARIABLE, ""))
