"""Renders pages from the templates."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from console import deployed, shown
from console.statics import Statics


class Renderer:
    """Renders templates with autoescape on for all of them."""

    def __init__(self, statics: Statics) -> None:
        self._environment = Environment(
            loader=PackageLoader("console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals |= {"static": statics.path_of, **shown.GLOBALS, **deployed.GLOBALS}
        self._environment.filters |= shown.FILTERS

    def render(self, template: str, context: Mapping[str, Any]) -> str:
        """Raises jinja2.TemplateError."""
        return self._environment.get_template(template).render(context)
