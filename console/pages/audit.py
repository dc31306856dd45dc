"""/audit: the audit events of a project, or of one workflow or app."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from aiohttp import web
from google.protobuf.timestamp_pb2 import Timestamp

from console.paging import page_number, pages_around
from console.visit import VISIT, Visit
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2

PAGE_SIZE = 50
OFFERED = 100
"""Limit of the workflows and of the apps to choose from, which are those that changed last."""
KINDS = ("workflow", "app")

routes = web.RouteTableDef()

Event: TypeAlias = workflow_pb2.AuditEvent | deploy_pb2.AuditEvent
Pagination: TypeAlias = workflow_pb2.Pagination | deploy_pb2.Pagination


@dataclass(frozen=True, slots=True)
class Row:
    event: Event
    kind: str
    thing_id: str
    thing_name: str
    """Empty for a deleted draft."""

    @property
    def details(self) -> Sequence[tuple[str, str]]:
        try:
            found = json.loads(self.event.details.utf8 or b"{}")
        except ValueError:
            return ()
        return [(str(name), str(value)) for name, value in found.items()] if isinstance(found, dict) else ()


@routes.get("/audit")
async def show(request: web.Request) -> web.Response:
    visit = request[VISIT]
    kind, thing_id = _chosen(request.query)
    workflows, apps = await asyncio.gather(_workflows(visit), _apps(visit))
    pagination, older = None, ""
    if thing_id:
        rows, pagination = await _events_of(visit, kind, thing_id)
    else:
        rows, older = await _events_of_project(visit, _moment(request.query.get("before", "")))
    return await visit.page(
        "audit.html",
        rows=rows,
        pagination=pagination,
        pages=pages_around(pagination.page, pagination.page_count) if pagination else (),
        older=older,
        things=(("workflow", workflows), ("app", apps)),
        kind=kind,
        chosen=thing_id,
        is_offered=thing_id in {each.id for each in workflows} | {each.id for each in apps},
    )


def _chosen(query: Mapping[str, str]) -> tuple[str, str]:
    """The kind and id of the selection in the URL: `of=app:<id>` from the form, or `app=<id>`."""
    of_kind, _, of_id = query.get("of", "").partition(":")
    found = ((kind, query.get(kind) or (of_id if of_kind == kind else "")) for kind in KINDS)
    return next(((kind, thing_id) for kind, thing_id in found if thing_id), ("", ""))


def _moment(text: str) -> Timestamp | None:
    """None for an invalid time."""
    moment = Timestamp()
    try:
        moment.FromJsonString(text)
    except ValueError:
        return None
    return moment


async def _workflows(visit: Visit) -> Sequence[workflow_pb2.Workflow]:
    if visit.project is None:
        return ()
    asked = workflow_pb2.ListWorkflowsRequest(project_id=visit.project.id, page_size=OFFERED, sort="-updated_at")
    found = await visit.call_if_there(asked, workflow_pb2.ListWorkflowsResponse)
    return found.data if found else ()


async def _apps(visit: Visit) -> Sequence[deploy_pb2.App]:
    if visit.project is None:
        return ()
    asked = deploy_pb2.ListAppsRequest(project_id=visit.project.id, page_size=OFFERED, sort="-updated_at")
    found = await visit.call_if_there(asked, deploy_pb2.ListAppsResponse)
    return found.data if found else ()


async def _events_of(visit: Visit, kind: str, thing_id: str) -> tuple[list[Row], Pagination]:
    page = page_number(visit.request.query)
    found: workflow_pb2.ListAuditEventsResponse | deploy_pb2.ListAuditEventsResponse
    if kind == "workflow":
        of_workflow = workflow_pb2.ListAuditEventsRequest(workflow_id=thing_id, page=page, page_size=PAGE_SIZE)
        found = await visit.call(of_workflow, workflow_pb2.ListAuditEventsResponse)
    else:
        of_app = deploy_pb2.ListAuditEventsRequest(app_id=thing_id, page=page, page_size=PAGE_SIZE)
        found = await visit.call(of_app, deploy_pb2.ListAuditEventsResponse)
    return [Row(each, kind, thing_id, "") for each in found.data], found.pagination


async def _events_of_project(visit: Visit, before: Timestamp | None) -> tuple[list[Row], str]:
    """The newest events of all workflows and apps, and the time from which older ones continue, if there are any.

    Events of a service that does not answer are left out, and a banner says so.
    """
    if visit.project is None:
        return [], ""
    project_id = visit.project.id
    of_workflows = workflow_pb2.ListProjectWorkflowAuditEventsRequest(project_id=project_id, page_size=PAGE_SIZE)
    of_apps = deploy_pb2.ListProjectAppAuditEventsRequest(project_id=project_id, page_size=PAGE_SIZE)
    if before is not None:
        of_workflows.created_at.lt.CopyFrom(before)
        of_apps.created_at.lt.CopyFrom(before)
    workflows, apps = await asyncio.gather(
        visit.call_if_there(of_workflows, workflow_pb2.ListProjectWorkflowAuditEventsResponse),
        visit.call_if_there(of_apps, deploy_pb2.ListProjectAppAuditEventsResponse),
    )
    rows = [
        Row(each, "workflow", each.workflow_id, each.workflow_name) for each in (workflows.data if workflows else ())
    ]
    rows += [Row(each, "app", each.app_id, each.app_name) for each in (apps.data if apps else ())]
    rows.sort(key=lambda row: row.event.created_at.ToNanoseconds(), reverse=True)
    more = (workflows.pagination.total_count if workflows else 0) + (apps.pagination.total_count if apps else 0)
    older = rows[PAGE_SIZE - 1].event.created_at.ToJsonString() if more > PAGE_SIZE else ""
    return rows[:PAGE_SIZE], older
