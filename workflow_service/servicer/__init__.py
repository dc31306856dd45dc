"""The workflow contract's RPCs, by noun: read the message, do the work, write the message."""

from workflow_service.servicer.canvases import CanvasRpcs
from workflow_service.servicer.versions import VersionRpcs
from workflow_service.servicer.workflows import WorkflowRpcs


class WorkflowServicer(WorkflowRpcs, VersionRpcs, CanvasRpcs):
    """All of WorkflowService."""
