"""RPCs that call apps and test flows."""

from collections.abc import AsyncGenerator

from google.api.httpbody_pb2 import HttpBody

from run_service.calling import invoke_app
from run_service.servicer.base import ServicerBase
from run_service.testing import test_version, test_workflow
from run_service.workflow_client import passed_on
from service_kit.access.caller import current_caller
from service_kit.idempotency import Context
from service_kit.pb.flowpin.run.v1 import run_pb2 as pb


class CallMethods(ServicerBase):
    def InvokeApp(self, request: pb.InvokeAppRequest, context: Context) -> AsyncGenerator[HttpBody, None]:
        return invoke_app(request, current_caller(), self._parts)

    def TestWorkflow(self, request: pb.TestWorkflowRequest, context: Context) -> AsyncGenerator[HttpBody, None]:
        return test_workflow(request, current_caller(), passed_on(context), self._parts)

    def TestVersion(self, request: pb.TestVersionRequest, context: Context) -> AsyncGenerator[HttpBody, None]:
        return test_version(request, current_caller(), passed_on(context), self._parts)
