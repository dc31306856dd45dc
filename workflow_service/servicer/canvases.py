"""The RPCs about canvases without a version: export, import, validation."""

from hashlib import sha256
from uuid import UUID

from google.api.httpbody_pb2 import HttpBody

from service_kit.access.caller import current_caller
from service_kit.db import Connection
from service_kit.idempotency import Context, IdempotentCall, in_project
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from workflow_service.dynamiq_config import catalogue
from workflow_service.errors import InvalidFlow
from workflow_service.messages import problem_message, workflow_message
from workflow_service.model import VersionRef, check_texts
from workflow_service.permissions import project_of_workflow
from workflow_service.repository import versions
from workflow_service.servicer.base import ServicerBase, new_draft, tag


class CanvasMethods(ServicerBase):
    async def ExportWorkflow(self, request: pb.ExportWorkflowRequest, context: Context) -> pb.ExportWorkflowResponse:
        current_caller().project(UUID(request.project_id))
        archive = await self._documents.export(
            request.flow.utf8, request.version_number if request.HasField("version_number") else None
        )
        return pb.ExportWorkflowResponse(data=HttpBody(content_type="application/octet-stream", data=archive))

    async def ImportWorkflow(self, request: pb.ImportWorkflowRequest, context: Context) -> pb.ImportWorkflowResponse:
        caller = current_caller()
        project = caller.project(UUID(request.project_id))
        check_texts(name=request.name, description=request.description)
        picked = request.workflow if request.HasField("workflow") else None
        content, problems = await self._documents.import_config(request.config, picked)

        async def create(db: Connection) -> pb.ImportWorkflowResponse:
            async with db.transaction():
                workflow = await new_draft(db, caller, project.id, request, content, "ImportWorkflow")
            tag(context, workflow)
            warnings = [f"{problem.path} {problem.message}" for problem in problems]
            return pb.ImportWorkflowResponse(data=workflow_message(workflow), warnings=warnings)

        call = IdempotentCall(self._pool, context, request, pb.ImportWorkflowResponse, in_project(project.id))
        return await call.run(create)

    async def ValidateFlow(self, request: pb.ValidateFlowRequest, context: Context) -> pb.ValidateFlowResponse:
        try:
            problems = await self._documents.validate(request.flow.utf8)
        except InvalidFlow as error:
            found = [
                pb.Problem(path=path, message=sentence, severity=pb.SEVERITY_ERROR)
                for path, sentence in error.fields.items()
            ]
        else:
            found = [problem_message(problem) for problem in problems]
        valid = all(problem.severity != pb.SEVERITY_ERROR for problem in found)
        return pb.ValidateFlowResponse(data=pb.Validation(valid=valid, problems=found))

    async def RenderFlow(self, request: pb.RenderFlowRequest, context: Context) -> pb.RenderFlowResponse:
        current_caller().project(UUID(request.project_id))
        return pb.RenderFlowResponse(loadable=await self._rendered(request.flow.utf8))

    async def RenderVersion(self, request: pb.RenderVersionRequest, context: Context) -> pb.RenderVersionResponse:
        caller, workflow_id = current_caller(), UUID(request.workflow_id)
        ref = VersionRef.parse(request.version)
        async with self._pages.acquire() as db:
            project_id = await project_of_workflow(caller, workflow_id)(db)
            version = await versions.get_version(db, (project_id,), workflow_id, ref)
        return pb.RenderVersionResponse(
            project_id=str(project_id),
            workflow_version_id=str(version.id),
            version=version.number,
            loadable=await self._rendered(version.content.flow),
        )

    async def _rendered(self, flow: bytes) -> pb.Loadable:
        """Raises InvalidFlow when the SDK cannot load the flow."""
        problems = await self._documents.validate(flow)
        errors = {problem.path: problem.message for problem in problems if problem.severity == "error"}
        document = None if errors else await self._documents.loadable(flow)
        if document is None:
            raise InvalidFlow(errors or {"flow": "cannot be loaded by the SDK"})
        return pb.Loadable(document=pb.Json(utf8=document), digest=sha256(document).digest())

    async def ListNodeTypes(self, request: pb.ListNodeTypesRequest, context: Context) -> pb.ListNodeTypesResponse:
        found = sorted(catalogue.node_types(request.group), key=lambda node: (node.group, node.name))
        return pb.ListNodeTypesResponse(
            data=[pb.NodeType(type=node.type, group=node.group, name=node.name) for node in found]
        )
