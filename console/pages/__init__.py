"""One module per page, with the handlers of its path and its forms. Its template has the same name.

A handler takes `visit = request[VISIT]`. `visit.call(pb.ListAppsRequest(…), pb.ListAppsResponse)` calls an RPC as the
person, `visit.call_if_there(…)` is for data that a page can omit, `visit.page("apps.html", …)` answers.

A form's handler reads `form = await visit.form()` and passes `key=form.key` to its RPC. It answers with
`visit.go(path, "What was done.")`, or `visit.refused(path, error)` for a ServiceError. Each form has a field
`key`, whose value is `{{ form_key() }}`.
"""

from console.pages import (
    access_keys,
    app,
    app_test,
    apps,
    audit,
    compare,
    deploy,
    deployment,
    history,
    home,
    integration,
    new,
    promote,
    rollback,
    runs,
    save,
    templates,
    try_version,
    variables,
    version,
    workflow,
    workflows,
)

PAGES = (
    home,
    workflows,
    new,
    workflow,
    version,
    try_version,
    compare,
    save,
    audit,
    templates,
    apps,
    app,
    history,
    deployment,
    deploy,
    rollback,
    promote,
    app_test,
    integration,
    access_keys,
    variables,
    runs,
)
"""The pages. The first one that matches a path answers it."""
