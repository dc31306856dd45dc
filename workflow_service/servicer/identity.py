"""The RPCs of the identity contract. The answers come from the access file."""

from uuid import UUID

from service_kit.access.caller import current_caller
from service_kit.access.file import Org, Project, Role, User
from service_kit.access.registry import AccessRegistry
from service_kit.errors import NotFound, PermissionDenied, ProjectNotFound
from service_kit.idempotency import Context
from service_kit.paging import page_of
from service_kit.pb.flowpin.identity.v1 import identity_pb2 as pb
from service_kit.pb.flowpin.identity.v1 import identity_pb2_grpc as rpc

ROLES = {
    Role.VIEWER: pb.PROJECT_ROLE_VIEWER,
    Role.EDITOR: pb.PROJECT_ROLE_EDITOR,
    Role.ADMIN: pb.PROJECT_ROLE_ADMIN,
    Role.RUNNER: pb.PROJECT_ROLE_RUNNER,
}


class OrgNotFound(NotFound):
    reason = "ORG_NOT_FOUND"


class NotAMember(PermissionDenied):
    reason = "NOT_A_MEMBER"


class NotAPerson(PermissionDenied):
    reason = "NOT_A_PERSON"


class IdentityServicer(rpc.IdentityServiceServicer):
    def __init__(self, registry: AccessRegistry) -> None:
        self._registry = registry

    async def GetMe(self, request: pb.GetMeRequest, context: Context) -> pb.GetMeResponse:
        user = current_caller().principal.user
        if user.service:
            raise NotAPerson("The token belongs to a service account, not to a person.")
        return pb.GetMeResponse(
            data=pb.Person(
                id=str(user.id),
                email=user.email,
                first_name=user.first_name,
                last_name=user.last_name,
                timezone=user.timezone,
            )
        )

    async def ListOrgs(self, request: pb.ListOrgsRequest, context: Context) -> pb.ListOrgsResponse:
        page = page_of(request)
        found = [org for org in self._registry.orgs.values() if org.id in current_caller().principal.orgs]
        found.sort(key=lambda org: (org.name, org.id))
        return pb.ListOrgsResponse(
            data=map(org_message, found[page.offset : page.offset + page.size]),
            pagination=pb.Pagination(**page.of(len(found))),
        )

    async def GetOrg(self, request: pb.GetOrgRequest, context: Context) -> pb.GetOrgResponse:
        return pb.GetOrgResponse(data=org_message(self._org(UUID(request.org_id))))

    async def ListProjects(self, request: pb.ListProjectsRequest, context: Context) -> pb.ListProjectsResponse:
        page = page_of(request)
        found = list(current_caller().principal.projects.values())
        if request.HasField("org_id"):
            org = self._org(UUID(request.org_id))
            found = [project for project in found if project.org_id == org.id]
        found.sort(key=lambda project: (project.name, project.id))
        return pb.ListProjectsResponse(
            data=map(project_message, found[page.offset : page.offset + page.size]),
            pagination=pb.Pagination(**page.of(len(found))),
        )

    async def GetProject(self, request: pb.GetProjectRequest, context: Context) -> pb.GetProjectResponse:
        project = self._registry.projects.get(UUID(request.project_id))
        if project is None:
            raise ProjectNotFound(request.project_id)
        if project.id not in current_caller().principal.projects:
            raise NotAMember("The token has no role in this project.", project_id=request.project_id)
        return pb.GetProjectResponse(data=project_message(project))

    async def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> pb.ListUsersResponse:
        page = page_of(request)
        found = self._registry.users_of(current_caller().principal.orgs)
        return pb.ListUsersResponse(
            data=map(user_message, found[page.offset : page.offset + page.size]),
            pagination=pb.Pagination(**page.of(len(found))),
        )

    async def Ping(self, request: pb.PingRequest, context: Context) -> pb.PingResponse:
        return pb.PingResponse()

    def _org(self, org_id: UUID) -> Org:
        org = self._registry.orgs.get(org_id)
        if org is None:
            raise OrgNotFound("Org not found.", org_id=str(org_id))
        if org.id not in current_caller().principal.orgs:
            raise NotAMember("The token has no role in this org.", org_id=str(org_id))
        return org


def user_message(user: User) -> pb.User:
    return pb.User(id=str(user.id), name=user.display_name, service=user.service)


def org_message(org: Org) -> pb.Org:
    return pb.Org(id=str(org.id), name=org.name)


def project_message(project: Project) -> pb.Project:
    """The project's message for the caller of this RPC."""
    return pb.Project(
        id=str(project.id),
        name=project.name,
        org_id=str(project.org_id),
        environments=project.environments,
        role=ROLES[current_caller().principal.roles[project.id]],
    )
