"""Pages of a list: which one was asked for, and what is said of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service_kit.errors import InvalidFields

DEFAULT_SIZE = 25
MAX_SIZE = 500
MAX_PAGE = 10_000_000


@dataclass(frozen=True, slots=True)
class Page:
    number: int
    size: int

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size

    def of(self, total: int) -> dict[str, int]:
        """The fields of a contract's Pagination."""
        return {
            "page": self.number,
            "page_size": self.size,
            "page_count": -(-total // self.size),
            "total_count": total,
        }


def page_of(request: Any) -> Page:
    """The page that a List request of any contract asks for. Raises InvalidFields."""
    page = Page(
        request.page if request.HasField("page") else 1,
        request.page_size if request.HasField("page_size") else DEFAULT_SIZE,
    )
    wrong = {}
    if not 1 <= page.number <= MAX_PAGE:
        wrong["page"] = f"must be from 1 to {MAX_PAGE}"
    if not 1 <= page.size <= MAX_SIZE:
        wrong["page_size"] = f"must be from 1 to {MAX_SIZE}"
    if wrong:
        raise InvalidFields(wrong)
    return page


def order_by(sort: str, columns: Mapping[str, str], default: str) -> str:
    """The ORDER BY list for `sort`: comma-separated names, `-` before one for descending; ties by id, newest first.

    `columns` maps the names a list knows to SQL literals; nothing a caller sent gets into the SQL. Raises
    InvalidFields naming what can be sorted by.
    """
    terms = []
    for key in (sort or default).split(","):
        name = key.strip().removeprefix("-")
        if name not in columns:
            raise InvalidFields({"sort": f"can be {', '.join(columns)}, each with - before it for descending"})
        terms.append(columns[name] + (" DESC" if key.strip().startswith("-") else ""))
    return ", ".join([*terms, "id DESC"])
