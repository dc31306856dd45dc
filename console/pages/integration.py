"""/apps/{app_id}/integration: code examples that call an app."""

import json
import shlex

from aiohttp import web

from console.app_reads import APP, environment_of, find_live_flow, open_app
from console.input_fields import example_of, read_fields
from console.visit import VISIT

routes = web.RouteTableDef()


@routes.get(APP + "/integration")
async def show(request: web.Request) -> web.Response:
    visit = request[VISIT]
    app = await open_app(visit)
    live = await find_live_flow(visit, app, environment_of(app, ""))
    url = app.hostname if "://" in app.hostname else f"https://{app.hostname}"
    given = json.loads(example_of(read_fields(live.flow.utf8)))
    return await visit.page(
        "integration.html",
        app=app,
        url=url.rstrip("/"),
        body=shlex.quote(json.dumps({"input": given}, ensure_ascii=False)),
        stream_body=shlex.quote(json.dumps({"input": given, "stream": True}, ensure_ascii=False)),
        python_input=repr(given),
        javascript_input=json.dumps(given, ensure_ascii=False),
    )
