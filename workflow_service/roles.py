"""The role that each RPC requires. A test checks that every RPC of the contracts has one."""

from service_kit.access.file import Role
from service_kit.pb.flowpin.identity.v1 import identity_pb2
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2

IDENTITY = identity_pb2.DESCRIPTOR.services_by_name["IdentityService"]
WORKFLOW = workflow_pb2.DESCRIPTOR.services_by_name["WorkflowService"]
SERVICES = [IDENTITY, WORKFLOW]

ROLES = {
    f"/{IDENTITY.full_name}/GetMe": Role.VIEWER,
    f"/{IDENTITY.full_name}/ListOrgs": Role.VIEWER,
    f"/{IDENTITY.full_name}/GetOrg": Role.VIEWER,
    f"/{IDENTITY.full_name}/ListProjects": Role.VIEWER,
    f"/{IDENTITY.full_name}/GetProject": Role.VIEWER,
    f"/{IDENTITY.full_name}/ListUsers": Role.VIEWER,
    f"/{IDENTITY.full_name}/Ping": Role.VIEWER,
    f"/{WORKFLOW.full_name}/ListWorkflows": Role.VIEWER,
    f"/{WORKFLOW.full_name}/CreateWorkflow": Role.EDITOR,
    f"/{WORKFLOW.full_name}/GetWorkflow": Role.VIEWER,
    f"/{WORKFLOW.full_name}/UpdateWorkflow": Role.EDITOR,
    f"/{WORKFLOW.full_name}/DeleteWorkflow": Role.EDITOR,  # admin once it is released
    f"/{WORKFLOW.full_name}/SaveWorkflow": Role.EDITOR,
    f"/{WORKFLOW.full_name}/ReleaseWorkflow": Role.EDITOR,
    f"/{WORKFLOW.full_name}/ExportWorkflow": Role.VIEWER,
    f"/{WORKFLOW.full_name}/ListVersions": Role.VIEWER,
    f"/{WORKFLOW.full_name}/WatchVersions": Role.VIEWER,
    f"/{WORKFLOW.full_name}/GetVersion": Role.VIEWER,
    f"/{WORKFLOW.full_name}/ArchiveVersion": Role.EDITOR,
    f"/{WORKFLOW.full_name}/UnarchiveVersion": Role.EDITOR,
    f"/{WORKFLOW.full_name}/ResolveVersion": Role.VIEWER,
    f"/{WORKFLOW.full_name}/RenderFlow": Role.EDITOR,
    f"/{WORKFLOW.full_name}/RenderVersion": Role.EDITOR,
    f"/{WORKFLOW.full_name}/ForkWorkflow": Role.EDITOR,
    f"/{WORKFLOW.full_name}/ImportWorkflow": Role.EDITOR,
    f"/{WORKFLOW.full_name}/ValidateFlow": Role.VIEWER,
    f"/{WORKFLOW.full_name}/ListNodeTypes": Role.VIEWER,
    f"/{WORKFLOW.full_name}/DeleteVersion": Role.ADMIN,
    f"/{WORKFLOW.full_name}/RestoreVersion": Role.EDITOR,
    f"/{WORKFLOW.full_name}/DiffVersions": Role.VIEWER,
    f"/{WORKFLOW.full_name}/ExportVersion": Role.VIEWER,
    f"/{WORKFLOW.full_name}/SetVersionNote": Role.EDITOR,
    f"/{WORKFLOW.full_name}/ListLabels": Role.VIEWER,
    f"/{WORKFLOW.full_name}/GetLabel": Role.VIEWER,
    f"/{WORKFLOW.full_name}/SetLabel": Role.EDITOR,  # admin where the project protects the label
    f"/{WORKFLOW.full_name}/DeleteLabel": Role.EDITOR,  # the same
    f"/{WORKFLOW.full_name}/ListLabelMoves": Role.VIEWER,
    f"/{WORKFLOW.full_name}/ListAuditEvents": Role.VIEWER,
    f"/{WORKFLOW.full_name}/ListProjectWorkflowAuditEvents": Role.VIEWER,
}
