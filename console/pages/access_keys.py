"""/apps/{app_id}/keys: the access keys of the app's project. A key is shown once, when it is created."""

from datetime import UTC, datetime, timedelta

from aiohttp import web
from google.protobuf.timestamp_pb2 import Timestamp

from console.app_reads import APP, ID, open_app
from console.visit import VISIT, Visit
from service_kit.errors import ServiceError
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb

MOST_KEYS = 200
DAYS = {"": "Never", "1": "In a day", "30": "In 30 days", "365": "In a year"}

routes = web.RouteTableDef()


@routes.get(APP + "/keys")
async def show(request: web.Request) -> web.Response:
    return await _page(request[VISIT])


@routes.post(APP + "/keys")
async def create(request: web.Request) -> web.Response:
    """Answer without a redirect, because the key must not be in a URL or a cookie."""
    visit = request[VISIT]
    form, app = await visit.form(), await open_app(visit)
    asked = pb.CreateAccessKeyRequest(
        project_id=app.project_id, name=form.text("name"), expires_at=_expiry(form.text("days"))
    )
    try:
        made = (await visit.call(asked, pb.CreateAccessKeyResponse, key=form.key)).data
    except ServiceError as error:
        return await _page(visit, error=error, status=409)
    return await _page(visit, made=made)


@routes.post(f"{APP}/keys/{{key_id:{ID}}}/revoke")
async def revoke(request: web.Request) -> web.Response:
    visit = request[VISIT]
    await visit.form()
    back = f"/apps/{request.match_info['app_id']}/keys"
    asked = pb.DeleteAccessKeyRequest(access_key_id=request.match_info["key_id"])
    try:
        await visit.call(asked, pb.DeleteAccessKeyResponse)
    except ServiceError as error:
        return visit.refused(back, error)
    return visit.go(back, "Revoked. Callers with this key are refused within two seconds.")


async def _page(
    visit: Visit, *, made: pb.AccessKey | None = None, error: ServiceError | None = None, status: int = 200
) -> web.Response:
    app = await open_app(visit)
    keys: list[pb.AccessKey] = []
    if visit.may("admin"):
        asked = pb.ListAccessKeysRequest(project_id=app.project_id, page_size=MOST_KEYS)
        keys = list((await visit.call(asked, pb.ListAccessKeysResponse)).data)
    return await visit.page(
        "access_keys.html", app=app, keys=keys, made=made, days=list(DAYS.items()), error=error, status=status
    )


def _expiry(days: str) -> Timestamp | None:
    if not days or days not in DAYS:
        return None
    moment = Timestamp()
    moment.FromDatetime(datetime.now(UTC) + timedelta(days=int(days)))
    return moment
