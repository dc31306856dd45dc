"""RPCs about variables of apps. Only replicas receive the value of a secret; people never do."""

import re
from uuid import UUID

from deploy_service.errors import TooManyVariables, VariableNotFound, VariablesUnreadable
from deploy_service.messages import variable_message
from deploy_service.model import environment_of
from deploy_service.permissions import lock_app
from deploy_service.repository import apps, variables
from deploy_service.repository.variables import EVERY_ENVIRONMENT, Variable
from deploy_service.servicer.base import ServicerBase
from deploy_service.signals import Topic
from service_kit import audit
from service_kit.access.caller import Caller, current_caller
from service_kit.access.file import Project
from service_kit.db import Connection
from service_kit.errors import InvalidFields
from service_kit.fields import optional
from service_kit.idempotency import Context
from service_kit.paging import page_of
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb

NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,127}")
STEERING = re.compile(
    r"(LD|DYLD|PYTHON|GLIBC|MALLOC|LC)_.*|PYTHON.*|PATH|HOME|USER|TMPDIR|LANG|LANGUAGE|IFS|ENV|BASH_ENV|SHELL|GCONV_PATH"
)
"""Names that would change how a process runs, or that replicas set themselves."""
MAX_VALUE_BYTES = 32 << 10
MAX_VARIABLES = 200
"""Maximum number of variables of an app, in all environments together."""


class VariableMethods(ServicerBase):
    async def ListVariables(self, request: pb.ListVariablesRequest, context: Context) -> pb.ListVariablesResponse:
        caller, app_id, page = current_caller(), UUID(request.app_id), page_of(request)
        async with self._pages.acquire() as db:
            project_id = await apps.find_project(db, caller.permitted_projects, app_id)
            found = await variables.list_variables(db, project_id, app_id)
        of_page = found[page.offset : page.offset + page.size]
        return pb.ListVariablesResponse(
            data=[variable_message(each, self._sealer) for each in of_page],
            pagination=pb.Pagination(**page.of(len(found))),
        )

    async def GetVariable(self, request: pb.GetVariableRequest, context: Context) -> pb.GetVariableResponse:
        caller, app_id = current_caller(), UUID(request.app_id)
        async with self._pool.acquire() as db:
            project = caller.project(await apps.find_project(db, caller.permitted_projects, app_id))
            environment = _environment(project, request)
            found = await variables.find_variable(db, project.id, app_id, request.name, environment)
        if found is None:
            raise VariableNotFound(request.name)
        return pb.GetVariableResponse(data=variable_message(found, self._sealer))

    async def SetVariable(self, request: pb.SetVariableRequest, context: Context) -> pb.SetVariableResponse:
        caller, app_id = current_caller(), UUID(request.app_id)
        _check(request)
        async with self._pool.acquire_to_change(app_id) as db, db.transaction():
            project = await lock_app(db, caller, app_id)
            environment = _environment(project, request)
            place = project.id, app_id, environment, request.name, request.secret
            sealed = self._sealer.seal(request.value, place)
            variable = await variables.find_variable(db, project.id, app_id, request.name, environment)
            if variable is None and await variables.count_variables(db, project.id, app_id) >= MAX_VARIABLES:
                raise TooManyVariables(MAX_VARIABLES)
            if variable is None or not self._is_same(variable, request):
                variable = await variables.put_variable(
                    db, project.id, app_id, request.name, environment, request.secret, sealed, caller.id
                )
                await _record(caller, db, project, app_id, "SetVariable", request.name, environment)
        self._signals.send(Topic.CHANGED, app_id)
        return pb.SetVariableResponse(data=variable_message(variable, self._sealer))

    def _is_same(self, variable: Variable, request: pb.SetVariableRequest) -> bool:
        """Whether the value is the same as before. Then no replica is replaced."""
        if variable.is_secret != request.secret:
            return False
        try:
            return self._sealer.open(variable.sealed, variable.place) == request.value
        except VariablesUnreadable:
            return False

    async def DeleteVariable(self, request: pb.DeleteVariableRequest, context: Context) -> pb.DeleteVariableResponse:
        caller, app_id = current_caller(), UUID(request.app_id)
        async with self._pool.acquire_to_change(app_id) as db, db.transaction():
            project = await lock_app(db, caller, app_id)
            environment = _environment(project, request)
            if not await variables.delete_variable(db, project.id, app_id, request.name, environment):
                raise VariableNotFound(request.name)
            await _record(caller, db, project, app_id, "DeleteVariable", request.name, environment)
        self._signals.send(Topic.CHANGED, app_id)
        return pb.DeleteVariableResponse(message="deleted")


def _environment(
    project: Project, request: pb.GetVariableRequest | pb.SetVariableRequest | pb.DeleteVariableRequest
) -> str:
    """Raises EnvironmentNotFound."""
    named = optional(request, "environment")
    return EVERY_ENVIRONMENT if named is None else environment_of(project, named)


def _check(request: pb.SetVariableRequest) -> None:
    """Raises InvalidFields."""
    wrong = {}
    if not NAME.fullmatch(request.name):
        wrong["name"] = (
            "must be upper-case letters, digits and _, not begin with a digit, and have up to 128 characters"
        )
    elif STEERING.fullmatch(request.name):
        wrong["name"] = "must not be a name that controls processes or that each replica sets"
    if len(request.value.encode()) > MAX_VALUE_BYTES:
        wrong["value"] = f"must be at most {MAX_VALUE_BYTES:,} bytes"
    if wrong:
        raise InvalidFields(wrong)


async def _record(
    caller: Caller, db: Connection, project: Project, app_id: UUID, action: str, name: str, environment: str
) -> None:
    """Record the audit event, without the value."""
    details = {"name": name} | ({"environment": environment} if environment else {})
    await audit.record(db, caller, project.id, app_id, action, app_id, **details)
