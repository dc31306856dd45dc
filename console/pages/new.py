"""/workflows/new: a draft from a template, a pasted flow or a config.yaml."""

from aiohttp import web

from console.documents import NO_LAYOUT, content_of, is_yaml, problems_of
from console.failures import failure_of
from console.forms import Form
from console.gallery import example, examples
from console.security import CACHING, KEEPS_FORM
from console.visit import VISIT, Visit
from service_kit.errors import NotFound, ServiceError
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb

routes = web.RouteTableDef()


@routes.get("/workflows/new")
async def show(request: web.Request) -> web.Response:
    visit = request[VISIT]
    request[CACHING] = KEEPS_FORM
    return await _page(visit, Form({"template": request.query.get("template", "")}, {}))


@routes.post("/workflows/new")
async def create(request: web.Request) -> web.Response:
    visit = request[VISIT]
    form = await visit.form()
    project = visit.enter(form.text("project"))
    if project is None:
        raise NotFound("Project not found.")
    text = form.document("flow")
    try:
        workflow, warnings = await _created(visit, form, text, project.id)
    except ServiceError as error:
        return await _page(visit, form, text, error)
    said = " ".join(["The draft is created. Its first save releases it.", *warnings])
    return visit.go(f"/workflows/{workflow.id}", said)


async def _created(visit: Visit, form: Form, text: str, project_id: str) -> tuple[pb.Workflow, list[str]]:
    name, description = form.text("name"), form.text("description")
    chosen = example(form.text("template")) if not text.strip() else None
    if chosen is None and text.strip() and is_yaml(text):
        config = pb.ImportWorkflowRequest(
            project_id=project_id,
            name=name,
            description=description or None,
            config=text,
            workflow=form.text("workflow") or None,
        )
        made = await visit.call(config, pb.ImportWorkflowResponse, key=form.key)
        return made.data, list(made.warnings)
    if chosen is not None:
        flow, flow_ui = chosen.flow, chosen.flow_ui
    else:
        content = await content_of(visit, text, project_id)
        flow, flow_ui = content.flow, content.flow_ui or NO_LAYOUT
    asked = pb.CreateWorkflowRequest(
        project_id=project_id,
        name=name,
        description=description or None,
        flow=pb.Json(utf8=flow),
        flow_ui=pb.Json(utf8=flow_ui),
    )
    return (await visit.call(asked, pb.CreateWorkflowResponse, key=form.key)).data, []


async def _page(visit: Visit, form: Form, text: str = "", error: ServiceError | None = None) -> web.Response:
    problems = await problems_of(error, text.encode()) if error and error.reason == "INVALID_FLOW" else {}
    return await visit.page(
        "new.html",
        status=failure_of(error).status if error else 200,
        form=form,
        text=text,
        choices=[(each.name, each.title) for each in examples()],
        failure=failure_of(error) if error else None,
        wrong=dict(error.fields) if error and not problems else {},
        problems=problems,
    )
