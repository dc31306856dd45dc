"""The workflow contract's RPCs, by noun: read the message, do the work, write the message."""

from workflow_service.servicer.canvases import CanvasMethods
from workflow_service.servicer.labels import LabelMethods
from workflow_service.servicer.versions import VersionMethods
from workflow_service.servicer.watching import WatchMethods
from workflow_service.servicer.workflows import WorkflowMethods


class WorkflowServicer(WorkflowMethods, VersionMethods, LabelMethods, CanvasMethods, WatchMethods):
    """Implements WorkflowService."""
