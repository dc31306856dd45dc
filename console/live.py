"""Finds which apps serve which versions of a workflow."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from console.visit import Visit
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb
from service_kit.pb.flowpin.workflow.v1.workflow_pb2 import Workflow

MAX_PINS = 500


@dataclass(frozen=True, slots=True)
class Live:
    """An app's environment that serves a version."""

    app_id: str
    app_name: str
    environment: str
    version: int


Lives = Mapping[str, Sequence[Live]]
"""Live places, by the version's id."""


async def find_lives(visit: Visit, workflow: Workflow, version_id: str = "") -> Lives | None:
    """The first 500 places of a workflow or one version. None while the deploy service does not answer."""
    asked = pb.ListLivePinsRequest(
        project_id=workflow.project_id,
        workflow_id=workflow.id,
        workflow_version_id=version_id or None,
        page_size=MAX_PINS,
    )
    found = await visit.call_if_there(asked, pb.ListLivePinsResponse)
    if found is None:
        return None
    lives = defaultdict[str, list[Live]](list)
    for pin in found.data:
        lives[pin.workflow_version_id].append(Live(pin.app_id, pin.app_name, pin.environment, pin.version))
    return dict(lives)
