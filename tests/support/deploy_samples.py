"""Sample deployments and pins, in which tests change single fields."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from deploy_service.deployment_config import SERVERLESS
from deploy_service.model import Deployment, Pin, Runtime
from service_kit.ids import new_id

WORKFLOW, OTHER_WORKFLOW = new_id(), new_id()
RUNTIME = Runtime(id=new_id(), version="0.69", label="Dynamiq 0.69", is_default=True, deprecated=False)


def pin(**fields: Any) -> Pin:
    made = Pin(
        workflow_id=WORKFLOW,
        workflow_name="support",
        workflow_description="",
        version_id=new_id(),
        version_number=2,
        version_description="",
        version_digest=bytes(32),
        version_created_at=datetime.now(UTC),
    )
    return replace(made, **fields)


def deployment(**fields: Any) -> Deployment:
    """The first deployment of its app, which is live."""
    now = datetime.now(UTC)
    made = Deployment(
        project_id=new_id(),
        app_id=new_id(),
        number=1,
        id=new_id(),
        environment="production",
        kind="deploy",
        reason=None,
        pin=pin(),
        runtime_id=RUNTIME.id,
        runtime_version=RUNTIME.version,
        runtime_label=RUNTIME.label,
        config=SERVERLESS,
        warnings=(),
        created_by=new_id(),
        created_by_name="Ada Lovelace",
        status="succeeded",
        started_at=now,
        finished_at=now,
        error_code=None,
        error_message=None,
        live_from=now,
        live_to=None,
        source_deployment_id=None,
        health=None,
        health_note=None,
    )
    return replace(made, **fields)
