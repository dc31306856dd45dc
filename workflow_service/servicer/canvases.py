"""The RPCs of canvases that are not, or not yet, a version: export, import, checks."""

from uuid import UUID

from google.api.httpbody_pb2 import HttpBody

from service_kit import auth
from service_kit.db import Connection
from service_kit.idempotency import Context, always, once
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.threads import in_thread
from workflow_service.errors import InvalidFlow
from workflow_service.flow import parse_flow
from workflow_service.messages import problem_message, workflow_message
from workflow_service.model import check_texts
from workflow_service.sdk import catalogue, checks
from workflow_service.sdk.export import export_zip
from workflow_service.sdk.importing import import_config
from workflow_service.servicer.rpcs import Rpcs, new_draft, tag


class CanvasRpcs(Rpcs):
    async def ExportWorkflow(self, request: pb.ExportWorkflowRequest, context: Context) -> pb.ExportWorkflowResponse:
        auth.caller().project(UUID(request.project_id))
        flow = await in_thread(parse_flow, request.flow.utf8, self._max_flow_bytes)
        archive, _ = await in_thread(export_zip, flow)
        return pb.ExportWorkflowResponse(data=HttpBody(content_type="application/octet-stream", data=archive))

    async def ImportWorkflow(self, request: pb.ImportWorkflowRequest, context: Context) -> pb.ImportWorkflowResponse:
        caller = auth.caller()
        project = caller.project(UUID(request.project_id))
        check_texts(name=request.name, description=request.description)
        picked = request.workflow if request.HasField("workflow") else None
        flow, flow_ui, problems = await in_thread(import_config, request.config, picked, self._max_flow_bytes)
        content = await self._checked(flow, flow_ui)

        async def create(db: Connection) -> pb.ImportWorkflowResponse:
            async with db.transaction():
                workflow = await new_draft(db, caller, project.id, request, content, "ImportWorkflow")
            tag(context, workflow)
            warnings = [f"{problem.path} {problem.message}" for problem in problems]
            return pb.ImportWorkflowResponse(data=workflow_message(workflow), warnings=warnings)

        return await once(self._pool, context, caller, always(project.id), request, pb.ImportWorkflowResponse, create)

    async def ValidateFlow(self, request: pb.ValidateFlowRequest, context: Context) -> pb.ValidateFlowResponse:
        try:
            flow = await in_thread(parse_flow, request.flow.utf8, self._max_flow_bytes)
            problems = await in_thread(checks.problems, flow)
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
