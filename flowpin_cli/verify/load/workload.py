"""The callers: savers and deployers that work until they are stopped."""

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from flowpin_cli.errors import CannotRun
from flowpin_cli.verify.load.calls import Call, Request
from flowpin_cli.verify.load.documents import answering_flow, digest_of, flow_of
from flowpin_cli.verify.load.recorder import Face, Recorder
from flowpin_cli.verify.load.rest import Rest

SAVERS_PER_WORKFLOW = 4
DEPLOYERS_PER_APP = 2
MOST_PAUSE_SECONDS = 0.04
TRIES_WITH_KEY = 4
HURRIED, REPEATED = 0.1, 0.1
"""The share of writes that stop waiting early, and of writes with a key that are repeated."""
PATIENCE_SECONDS = (0.002, 0.05)
FIRST_RETRY_SECONDS = 0.1
SETTLE_TRIES = 10
ANSWERING_VERSIONS = 4
"""Versions per workflow that can run, if apps run. Only these are deployed, so an app has at most this many
replicas."""
LIVE_SECONDS = 240.0
"""How long the first replicas may take. The host process imports the SDK first, on a busy machine."""
CANVAS = {"nodes": [{"id": "n", "type": "x.Y"}]}


@dataclass(frozen=True)
class Latest:
    """A latest version that a caller has seen. There may be a newer one by now."""

    id: str
    number: int
    etag: str | None


class Workload:
    """The workflows and apps of one run, and the callers on them."""

    def __init__(
        self, recorder: Recorder, faces: Sequence[Face], seed: int, run: str, *, runs_apps: bool = False
    ) -> None:
        """With `runs_apps`, only flows that can run are deployed."""
        self._recorder = recorder
        self._faces = faces
        self._seed = seed
        self._run = run
        self._stopping = asyncio.Event()
        self.workflows: list[str] = []
        self.apps: list[str] = []
        self._workflow_of: dict[str, str] = {}
        self._runs_apps = runs_apps
        self._answering: dict[str, list[str]] = {}
        """If apps run, the ids of the versions that may be deployed, by workflow."""
        self._latest: dict[str, Latest] = {}
        self._etags: dict[tuple[str, str, str], str] = {}
        self._unsettled: list[tuple[Face, Request, str]] = []
        self._count = 0

    async def prepare(self, rest: Rest, project_id: str, savers: int, deployers: int) -> None:
        """Create the workflows and apps, with names that only this run uses. Raises CannotRun."""
        try:
            for number in range(max(1, -(-savers // SAVERS_PER_WORKFLOW))):
                body = {"name": f"verify-{self._run}-{number}", "project_id": project_id, "flow_ui": {}, "flow": CANVAS}
                workflow = (await rest.create("/v1/workflows", body))["id"]
                self.workflows.append(workflow)
                await self._prepare_versions(workflow)
            for number in range(max(1, -(-deployers // DEPLOYERS_PER_APP))):
                workflow = self.workflows[number % len(self.workflows)]
                body = {"name": f"verify {self._run} {number}", "project_id": project_id, "workflow_id": workflow}
                made = await rest.create("/v1/apps", body)
                self.apps.append(made["id"])
                self._workflow_of[made["id"]] = workflow
                if self._runs_apps:
                    await _until_live(rest, made)
        except (TimeoutError, aiohttp.ClientError) as error:
            raise CannotRun(f"the installation refuses what the load needs: {error or type(error).__name__}") from None

    async def _prepare_versions(self, workflow: str) -> None:
        for answers in range(1, ANSWERING_VERSIONS + 1) if self._runs_apps else (None,):
            call = await self._save("setup", workflow, self._faces[0], key=True, answers=answers)
            if not call.is_answered:
                raise CannotRun("the installation does not save: see the last lines of the history file")
            if answers is not None:
                self._answering.setdefault(workflow, []).append(call.got["id"])

    async def work(self, savers: int, deployers: int) -> None:
        """Save and deploy until `stop`."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(savers):
                tasks.create_task(self._saver(f"saver-{number}", self.workflows[number % len(self.workflows)]))
            for number in range(deployers):
                tasks.create_task(self._deployer(f"deployer-{number}", self.apps[number % len(self.apps)]))

    def stop(self) -> None:
        self._stopping.set()

    async def probe(self) -> bool:
        """Whether every workflow accepts saves and every app accepts deploys."""
        for workflow in self.workflows:
            if not (await self._save("probe", workflow, self._faces[0], key=False)).is_answered:
                return False
        for app in self.apps:
            call = await self._deploy("probe", app, self._faces[0], key=False)
            if not call.is_answered or (self._runs_apps and call.got["status"] != "succeeded"):
                return False
        return True

    async def settle(self) -> None:
        """Repeat calls with a key that are still unanswered, each until it is answered."""
        for face, request, caller in self._unsettled:
            for _ in range(SETTLE_TRIES):
                call = await self._recorder.call(face, request, caller)
                if call.outcome != "unknown":
                    break
                await asyncio.sleep(FIRST_RETRY_SECONDS)

    async def _saver(self, caller: str, workflow: str) -> None:
        # Not used for secrets. A run can be repeated from its seed.
        chance = random.Random(f"{self._seed} {caller}")  # noqa: S311
        while not self._stopping.is_set():
            face = chance.choice(self._faces)
            action = chance.choices(
                ("save", "save from base", "latest", "number", "workflow", "versions"), (5, 4, 4, 3, 2, 2)
            )[0]
            if action == "save":
                await self._save(caller, workflow, face, key=chance.random() < 0.5, chance=chance)
            elif action == "save from base":
                by_etag, keyed = chance.random() < 0.5, chance.random() < 0.5
                if chance.random() < 0.5:
                    await self._read(caller, face, "version", workflow, chance, version="latest")
                base = self._latest[workflow]
                await self._save(caller, workflow, face, key=keyed, chance=chance, base=base, by_etag=by_etag)
            elif action == "latest":
                await self._read(caller, face, "version", workflow, chance, version="latest")
            elif action == "number":
                newest = self._latest[workflow].number
                number = max(1, newest - int(chance.expovariate(0.5)))
                await self._read(caller, face, "version", workflow, chance, version=str(number))
            else:
                await self._read(caller, face, action, workflow, chance)
            await asyncio.sleep(chance.uniform(0, MOST_PAUSE_SECONDS))

    async def _deployer(self, caller: str, app: str) -> None:
        chance = random.Random(f"{self._seed} {caller}")  # noqa: S311
        while not self._stopping.is_set():
            face = chance.choice(self._faces)
            keyed = chance.random() < 0.5
            action = chance.choices(("latest", "pinned", "rollback", "app", "deployments"), (2, 3, 2, 4, 2))[0]
            if action in ("app", "deployments"):
                await self._read(caller, face, action, app, chance)
            elif action == "rollback":
                await self._write(caller, face, self._request("rollback", app, {}, keyed), chance)
            else:
                await self._deploy(caller, app, face, key=keyed, chance=chance, pinned=action == "pinned")
            await asyncio.sleep(chance.uniform(0, MOST_PAUSE_SECONDS * 2))

    async def _save(
        self,
        caller: str,
        workflow: str,
        face: Face,
        *,
        key: bool,
        chance: random.Random | None = None,
        base: Latest | None = None,
        by_etag: bool = False,
        answers: int | None = None,
    ) -> Call:
        """With `answers`, save a flow that can run and answers with this number."""
        request = self._request("save", workflow, {}, key)
        document = flow_of(f"{self._run}-{request.operation}") if answers is None else answering_flow(answers)
        sent: dict[str, Any] = {"digest": digest_of(document)}
        if answers is not None:
            sent["answers"] = answers
        if base is not None:
            sent["base"] = base.id
            if by_etag and base.etag is not None:
                sent["if_match"] = base.etag
        return await self._write(caller, face, replace(request, sent=sent, document=document), chance)

    async def _deploy(
        self,
        caller: str,
        app: str,
        face: Face,
        *,
        key: bool,
        chance: random.Random | None = None,
        pinned: bool = False,
    ) -> Call:
        workflow = self._workflow_of[app]
        version_id = self._latest[workflow].id if pinned else None
        if self._runs_apps:
            versions = self._answering[workflow]
            version_id = chance.choice(versions) if chance else versions[0]
        sent = {"workflow_id": workflow, "version_id": version_id}
        return await self._write(caller, face, self._request("deploy", app, sent, key), chance)

    async def _write(self, caller: str, face: Face, request: Request, chance: random.Random | None) -> Call:
        """Make the call. One with a key is repeated while its answer is unknown, and sometimes after that."""
        hurried, is_repeated = request, False
        if chance is not None:  # all random draws come first, so that answers do not change the draws of later calls
            is_repeated = chance.random() < REPEATED
            if chance.random() < HURRIED:
                hurried = replace(request, patience_seconds=chance.uniform(*PATIENCE_SECONDS))
        call = await self._recorder.call(face, hurried, caller)
        tries = 1
        while call.outcome == "unknown" and request.key is not None and tries < TRIES_WITH_KEY:
            await asyncio.sleep(FIRST_RETRY_SECONDS * 2**tries)
            call = await self._recorder.call(face, request, caller)
            tries += 1
        if call.outcome == "unknown" and request.key is not None:
            self._unsettled.append((face, request, caller))
        if call.kind == "save" and call.is_answered:
            self._see(call)
        if call.is_answered and request.key is not None and is_repeated:
            await self._recorder.call(face, request, caller)
        return call

    async def _read(
        self, caller: str, face: Face, kind: str, target: str, chance: random.Random, version: str | None = None
    ) -> None:
        sent = {} if version is None else {"version": version}
        address = (kind, target, version or "")
        known, is_conditional = self._etags.get(address), chance.random() < 0.5
        if face.name == "rest" and known is not None and is_conditional:
            sent["if_none_match"] = known
        call = await self._recorder.call(face, self._request(kind, target, sent, keyed=False), caller)
        if not call.is_answered or call.is_unmodified:
            return
        if call.got.get("etag"):
            self._etags[address] = call.got["etag"]
        if version == "latest":
            self._see(call)

    def _see(self, call: Call) -> None:
        """Store the newest version, so that other callers can save from it, deploy it and read it."""
        known = self._latest.get(call.target)
        if known is None or call.got["number"] >= known.number:
            etag = call.got.get("etag") if call.kind == "version" else None
            self._latest[call.target] = Latest(call.got["id"], call.got["number"], etag)

    def _request(self, kind: str, target: str, sent: Mapping[str, str | None], keyed: bool) -> Request:
        self._count += 1
        operation = f"{kind}-{self._count}"
        return Request(operation, kind, target, dict(sent), key=f"{self._run}-{operation}" if keyed else None)


async def _until_live(rest: Rest, app: Mapping[str, Any]) -> None:
    """Wait until a new app's first deployment is live. Raises CannotRun."""
    path = f"/v1/apps/{app['id']}/deployments/{app['latest_deployment_id']}"
    async with asyncio.timeout(LIVE_SECONDS):
        while True:
            deployment = json.loads(await rest.get(path))["data"]
            if deployment["status"] == "succeeded":
                return
            if deployment["status"] == "failed":
                raise CannotRun(f"the load's app does not run: {deployment['error']['message']}")
            await asyncio.sleep(FIRST_RETRY_SECONDS)
