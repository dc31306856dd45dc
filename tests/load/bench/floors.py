"""pgbench scripts of the statements that a save and a deploy send."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast
from uuid import UUID

from deploy_service.deploying import DeployCommand, deploy_shared
from deploy_service.drivers import InstantDriver
from deploy_service.planning import DeploySpec
from deploy_service.repository import deployments
from deploy_service.workflow_client import ResolvedVersion
from service_kit.access.caller import Caller, Principal
from service_kit.access.file import Project, Role, Token, User
from service_kit.db import Connection, open_pool
from tests.load.bench import recording
from tests.load.bench.context import Bench
from tests.load.bench.pgbench import Script
from tests.load.bench.recording import Recorder, Statement
from tests.load.bench.seeds import History
from workflow_service.flow import check_content
from workflow_service.repository.version_inserts import NewVersion, insert_version

WORKFLOW, DEPLOY = "flowpin_workflow", "flowpin_deploy"
PERSON = UUID("01900000-0000-7000-8000-000000000001")
LIMIT = 16 << 20


def save_script(bench: Bench, history: History) -> Script:
    """The statements of a save of the bench's content on this workflow."""
    caller = _caller(bench)
    content = check_content(bench.content.flow, bench.content.flow_ui, LIMIT)
    workflow_id = UUID(history.workflow_id)

    async def save(db: Connection) -> None:
        new = NewVersion(caller, workflow_id, content, "SaveWorkflow", "", released_by_save=True)
        await insert_version(db, new)

    sent = asyncio.run(_recorded(bench, WORKFLOW, "workflow", save))
    return recording.script(sent, {PERSON, workflow_id, UUID(bench.stack.project_id)})


def deploy_script(bench: Bench, app_id: str) -> Script:
    """The two statements of deploying again what is live on this app."""
    caller, project_id, app = _caller(bench), UUID(bench.stack.project_id), UUID(app_id)
    known = {PERSON, project_id, app}

    async def deploy(db: Connection) -> None:
        recorder = cast("Recorder", db)
        live = await deployments.find_live(recorder.db, project_id, app, "production")
        if live is None:
            raise LookupError("the app has nothing live")
        known.update((live.pin.workflow_id, live.pin.version_id, live.runtime_id))
        order = DeploySpec("production", ResolvedVersion(live.pin, bench.content.flow, ()))
        ordered = DeployCommand(caller, project_id, app, order, "DeployApp")
        # One deploy first, so that no number in the recorded one is 1, the first place of an array.
        await deploy_shared(recorder.db, InstantDriver(), [ordered])
        await deploy_shared(db, InstantDriver(), [ordered])

    sent = asyncio.run(_recorded(bench, DEPLOY, "deploy", deploy))
    return recording.script(sent, known)


async def _recorded(
    bench: Bench, role: str, schema: str, work: Callable[[Connection], Awaitable[None]]
) -> list[Statement]:
    """The statements that the work sends. The work is committed."""
    async with open_pool(bench.stack.role_url(role), schema, 1, one_plan=True) as pool, pool.acquire() as db:
        recorder = Recorder(db)
        await work(cast("Connection", recorder))
    return recorder.sent


def _caller(bench: Bench) -> Caller:
    project = Project(id=UUID(bench.stack.project_id), name="bench", org_id=PERSON)
    principal = Principal(
        user=User(id=PERSON, name="bench"),
        token=Token(id="bench", user=PERSON, sha256="0" * 64, roles={}),
        roles={project.id: Role.ADMIN},
        projects={project.id: project},
        orgs=frozenset(),
    )
    return Caller(principal, Role.EDITOR, "bench", None, None)
