"""Builds the contract's messages for apps, deployments and runtimes."""

import json
import re
from uuid import UUID

from deploy_service.deployment_config import config_message
from deploy_service.model import AccessKey, App, Deployment, Pin, Runtime
from deploy_service.planning import DeployPlan
from deploy_service.repository.live_pins import LivePin
from deploy_service.repository.variables import Variable
from deploy_service.sealing import Sealer
from service_kit.access.file import Project
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb
from service_kit.times import timestamp


def deployment_message(deployment: Deployment) -> pb.Deployment:
    message = pb.Deployment(
        id=str(deployment.id),
        app_id=str(deployment.app_id),
        environment=deployment.environment,
        status=pb.DeploymentStatus.Value(f"DEPLOYMENT_STATUS_{deployment.status.upper()}"),
        live=deployment.is_live,
        kind=pb.DeploymentKind.Value(f"DEPLOYMENT_KIND_{deployment.kind.upper()}"),
        reason=deployment.reason,
        workflow_id=str(deployment.pin.workflow_id),
        workflow=workflow_ref(deployment),
        workflow_version_id=str(deployment.pin.version_id),
        workflow_version=version_ref(deployment),
        runtime_id=str(deployment.runtime_id),
        runtime=runtime_ref(deployment),
        deployment_config=config_message(deployment.config),
        created_by=str(deployment.created_by),
        created_by_name=deployment.created_by_name,
        started_at=timestamp(deployment.started_at),
        finished_at=timestamp(deployment.finished_at) if deployment.finished_at else None,
        live_from=timestamp(deployment.live_from) if deployment.live_from else None,
        live_to=timestamp(deployment.live_to) if deployment.live_to else None,
        warnings=deployment.warnings,
        source_deployment_id=str(deployment.source_deployment_id) if deployment.source_deployment_id else None,
        health=pb.DeploymentHealth.Value(f"DEPLOYMENT_HEALTH_{deployment.health.upper()}")
        if deployment.health
        else None,
        health_note=deployment.health_note,
        rollout_notes=deployment.rollout_notes,
    )
    if deployment.drained_at is not None:
        message.drain.CopyFrom(
            pb.Drain(
                drained=deployment.drained_calls or 0,
                killed=deployment.killed_calls or 0,
                ended_at=timestamp(deployment.drained_at),
            )
        )
    if deployment.error_code is not None:
        message.error.CopyFrom(pb.DeploymentError(code=deployment.error_code, message=deployment.error_message or ""))
    return message


def app_message(app: App, project: Project, domain: str) -> pb.App:
    """`project` owns the app; `domain` is the setting for the domain of apps."""
    message = pb.App(
        id=str(app.id),
        name=app.name,
        description=app.description,
        project_id=str(app.project_id),
        hostname=hostname_of(app.id, project.environments[-1], project, domain),
        access_control=pb.AccessControl(access_type=pb.AccessType.Value(f"ACCESS_TYPE_{app.access_type.upper()}")),
        created_at=timestamp(app.created_at),
        created_by=str(app.created_by),
        updated_at=timestamp(app.updated_at),
        updated_by=str(app.updated_by),
        archived_at=timestamp(app.archived_at) if app.archived_at else None,
        archived_by=str(app.archived_by) if app.archived_by else None,
    )
    default = project.environments[-1]
    for name in project.environments:
        hostname = hostname_of(app.id, name, project, domain)
        message.environments.append(environment_state(name, hostname, app.live.get(name)))
    live = app.live.get(default)
    newest = live.id if live is not None else app.newest_deployment_id
    if newest is not None:
        message.latest_deployment_id = str(newest)
    if live is not None:
        message.runtime_id = str(live.runtime_id)
        message.workflow_id = str(live.pin.workflow_id)
        message.workflow_version_id = str(live.pin.version_id)
        message.deployment_config.CopyFrom(config_message(live.config))
        message.runtime.CopyFrom(runtime_ref(live))
        message.workflow.CopyFrom(workflow_ref(live))
        message.workflow_version.CopyFrom(version_ref(live))
    return message


def hostname_of(app_id: UUID, environment: str, project: Project, domain: str) -> str:
    """The URL of an app in an environment. `domain` contains {app} for the label, or follows it."""
    label = str(app_id) if environment == project.environments[-1] else f"{app_id}--{environment}"
    return domain.replace("{app}", label) if "{app}" in domain else f"{label}.{domain}"


def environment_state(name: str, hostname: str, live: Deployment | None) -> pb.EnvironmentState:
    if live is None:
        return pb.EnvironmentState(name=name, hostname=hostname)
    return pb.EnvironmentState(
        name=name,
        hostname=hostname,
        deployment_id=str(live.id),
        workflow_version_id=str(live.pin.version_id),
        runtime_id=str(live.runtime_id),
        deployment_config=config_message(live.config),
    )


def workflow_ref(deployment: Deployment) -> pb.WorkflowRef:
    pin = deployment.pin
    return pb.WorkflowRef(id=str(pin.workflow_id), name=pin.workflow_name, description=pin.workflow_description)


def version_ref(deployment: Deployment) -> pb.VersionRef:
    pin = deployment.pin
    return pb.VersionRef(
        id=str(pin.version_id),
        version=pin.version_number,
        label=f"v{pin.version_number}",
        description=pin.version_description,
        workflow_id=str(pin.workflow_id),
        digest=f"sha256:{pin.version_digest.hex()}",
        created_at=timestamp(pin.version_created_at),
    )


def live_pin_message(pin: LivePin) -> pb.LivePin:
    return pb.LivePin(
        app_id=str(pin.app_id),
        app_name=pin.app_name,
        environment=pin.environment,
        deployment_id=str(pin.deployment_id),
        workflow_id=str(pin.workflow_id),
        workflow_version_id=str(pin.version_id),
        version=pin.version_number,
    )


def runtime_ref(deployment: Deployment) -> pb.RuntimeRef:
    return pb.RuntimeRef(
        id=str(deployment.runtime_id),
        version=deployment.runtime_version,
        label=deployment.runtime_label,
        digest=digest_text(deployment.runtime_digest),
    )


def runtime_message(runtime: Runtime) -> pb.Runtime:
    return pb.Runtime(
        id=str(runtime.id),
        version=runtime.version,
        label=runtime.label,
        default=runtime.is_default,
        deprecated=runtime.deprecated,
        lock_digest=digest_text(runtime.lock_digest),
    )


def digest_text(digest: bytes | None) -> str | None:
    return f"sha256:{digest.hex()}" if digest is not None else None


def digest_of(text: str) -> bytes | None:
    """None if the text is not a digest."""
    found = re.fullmatch("sha256:([0-9a-f]{64})", text)
    return bytes.fromhex(found[1]) if found else None


def access_key_message(key: AccessKey, secret: str | None = None) -> pb.AccessKey:
    """`secret` is set only in the answer of the call that creates the key."""
    return pb.AccessKey(
        id=str(key.id),
        project_id=str(key.project_id),
        name=key.name,
        preview=key.preview,
        created_at=timestamp(key.created_at),
        created_by=str(key.created_by),
        expires_at=timestamp(key.expires_at) if key.expires_at else None,
        revoked_at=timestamp(key.revoked_at) if key.revoked_at else None,
        key=secret,
    )


def variable_message(variable: Variable, sealer: Sealer) -> pb.Variable:
    """Raises VariablesUnreadable."""
    return pb.Variable(
        name=variable.name,
        value=None if variable.is_secret else sealer.open(variable.sealed, variable.place),
        secret=variable.is_secret,
        environment=variable.environment or None,
        updated_at=timestamp(variable.updated_at),
        updated_by=str(variable.updated_by),
    )


def plan_message(plan: DeployPlan | ServiceError) -> pb.Plan:
    """The message for a plan, or for the error because of which there is no plan."""
    if isinstance(plan, ServiceError):
        return pb.Plan(blockers=[pb.Blocker(reason=plan.reason, message=plan.message)])
    message = pb.Plan(
        plan_token=plan.token,
        warnings=plan.spec.resolved.warnings,
        blockers=[pb.Blocker(reason=blocker.reason, message=blocker.message) for blocker in plan.blockers],
        source=deployment_message(plan.spec.source) if plan.spec.source else None,
        why=plan.spec.why or None,
    )
    pin, live, runtime = plan.spec.resolved.pin, plan.state.live, plan.runtime
    if runtime is None:
        return message
    message.changes.flow.CopyFrom(
        pb.Change(
            before=_version_words(live.pin) if live else None,
            after=_version_words(pin),
            changed=live is None or live.pin.version_digest != pin.version_digest,
        )
    )
    message.changes.runtime.CopyFrom(
        pb.Change(
            before=live.runtime_label if live else None,
            after=runtime.label,
            changed=live is None or (live.runtime_id, live.runtime_digest) != (runtime.id, runtime.digest),
        )
    )
    message.changes.config.CopyFrom(
        pb.Change(
            before=live.config.decode() if live else None,
            after=plan.config.decode(),
            changed=live is None or json.loads(live.config) != json.loads(plan.config),
        )
    )
    message.changes.deployment_config.CopyFrom(
        pb.ConfigChange(
            before=config_message(live.config) if live else None,
            after=config_message(plan.config),
            changed=message.changes.config.changed,
        )
    )
    return message


def _version_words(pin: Pin) -> str:
    return f"{pin.workflow_name} v{pin.version_number}"
