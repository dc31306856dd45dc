"""The role that each RPC requires. A test checks that every RPC of the contract has one."""

from service_kit.access.file import Role
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.routing.v1 import routing_pb2

DEPLOY = deploy_pb2.DESCRIPTOR.services_by_name["DeployService"]
ROUTING = routing_pb2.DESCRIPTOR.services_by_name["RoutingService"]
SERVICES = [DEPLOY, ROUTING]

ROLES = {
    f"/{DEPLOY.full_name}/ListApps": Role.VIEWER,
    f"/{DEPLOY.full_name}/CreateApp": Role.EDITOR,
    f"/{DEPLOY.full_name}/GetApp": Role.VIEWER,
    f"/{DEPLOY.full_name}/UpdateApp": Role.EDITOR,
    f"/{DEPLOY.full_name}/DeleteApp": Role.ADMIN,
    f"/{DEPLOY.full_name}/DeployApp": Role.EDITOR,
    f"/{DEPLOY.full_name}/ListDeployments": Role.VIEWER,
    f"/{DEPLOY.full_name}/GetDeployment": Role.VIEWER,
    f"/{DEPLOY.full_name}/GetDeploymentFlow": Role.VIEWER,
    f"/{DEPLOY.full_name}/ExportDeployment": Role.VIEWER,
    f"/{DEPLOY.full_name}/ListLivePins": Role.VIEWER,
    f"/{DEPLOY.full_name}/WatchDeployments": Role.VIEWER,
    f"/{DEPLOY.full_name}/CancelDeployment": Role.EDITOR,
    f"/{DEPLOY.full_name}/ListRuntimes": Role.VIEWER,
    f"/{DEPLOY.full_name}/ArchiveApp": Role.ADMIN,
    f"/{DEPLOY.full_name}/UnarchiveApp": Role.ADMIN,
    f"/{DEPLOY.full_name}/PlanDeploy": Role.VIEWER,
    f"/{DEPLOY.full_name}/PlanRollback": Role.VIEWER,
    f"/{DEPLOY.full_name}/RollbackApp": Role.EDITOR,
    f"/{DEPLOY.full_name}/PromoteApp": Role.EDITOR,
    f"/{DEPLOY.full_name}/MarkDeployment": Role.EDITOR,
    f"/{DEPLOY.full_name}/CreateRuntime": Role.OPERATOR,
    f"/{DEPLOY.full_name}/UpdateRuntime": Role.OPERATOR,
    f"/{DEPLOY.full_name}/GetRuntimeLock": Role.OPERATOR,
    f"/{DEPLOY.full_name}/ListRuntimeAuditEvents": Role.OPERATOR,
    f"/{DEPLOY.full_name}/ListAccessKeys": Role.ADMIN,
    f"/{DEPLOY.full_name}/CreateAccessKey": Role.ADMIN,
    f"/{DEPLOY.full_name}/DeleteAccessKey": Role.ADMIN,
    f"/{DEPLOY.full_name}/ListAccessKeyAuditEvents": Role.ADMIN,
    f"/{DEPLOY.full_name}/ListAuditEvents": Role.VIEWER,
    f"/{DEPLOY.full_name}/ListProjectAppAuditEvents": Role.VIEWER,
    f"/{DEPLOY.full_name}/Ping": Role.VIEWER,
    f"/{DEPLOY.full_name}/ListVariables": Role.VIEWER,
    f"/{DEPLOY.full_name}/GetVariable": Role.VIEWER,
    f"/{DEPLOY.full_name}/SetVariable": Role.EDITOR,
    f"/{DEPLOY.full_name}/DeleteVariable": Role.EDITOR,
    f"/{ROUTING.full_name}/WatchRoutes": Role.RUNNER,
    f"/{ROUTING.full_name}/AcknowledgeRoutes": Role.RUNNER,
    f"/{ROUTING.full_name}/GetLoadable": Role.RUNNER,
    f"/{ROUTING.full_name}/ReportRollout": Role.RUNNER,
    f"/{ROUTING.full_name}/ReportDrain": Role.RUNNER,
    f"/{ROUTING.full_name}/GetVariables": Role.RUNNER,
}
