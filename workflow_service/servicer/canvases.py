"""The RPCs of canvases that are not, or not yet, a version: export, import, checks."""

from uuid import UUID

from google.api.httpbody_pb2 import HttpBody

from service_kit.access.caller import current_caller
from service_kit.db import Connection
from service_kit.idempotency import Context, IdempotentCall, in_project
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from workflow_service.dynamiq_config import catalogue
from workflow_service.errors import InvalidFlow
from workflow_service.messages import problem_message, workflow_message
from workflow_service.model import check_texts
from workflow_service.servicer.base import ServicerBase, new_draft, tag


class CanvasMethods(ServicerBase):
    async def ExportWorkflow(self, request: pb.ExportWorkflowRequest, context: Context) -> pb.ExportWorkflowResponse:
        current_caller().project(UUID(request.project_id))
        archive = await self._documents.export(request.flow.utf8)
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

    async def ListNodeTypes(self, request: pb.ListNodeTypesRequest, context: Context) -> pb.ListNodeTypesResponse:
        found = sorted(catalogue.node_types(request.group), key=lambda node: (node.group, node.name))
        return pb.ListNodeTypesResponse(
            data=[pb.NodeType(type=node.type, group=node.group, name=node.name) for node in found]
        )
