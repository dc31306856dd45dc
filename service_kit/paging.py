"""Pages of a list: the requested page, and its Pagination."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service_kit.db import Connection, Row
from service_kit.errors import InvalidFields

DEFAULT_SIZE = 25
MAX_SIZE = 500
MAX_PAGE = 10_000_000


@dataclass(frozen=True, slots=True)
class Page:
    number: int
    size: int
    order_by: str
    """The ORDER BY list. It contains only literals from the code, nothing that a caller sent."""

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


async def fetch_page(db: Connection, statement: str, *values: object, key: str = "id") -> tuple[list[Row], int]:
    """The rows of a page and the total number, from one statement, so that both are from one snapshot.

    Each row of the statement has the `total`. An empty page is one row in which `key` is NULL.
    """
    rows = await db.fetch(statement, *values)
    return [row for row in rows if row[key] is not None], rows[0]["total"]


def page_of(request: Any, sorts: Mapping[str, str] | None = None, default: str = "") -> Page:
    """The page that a List request names.

    `sorts` maps the names that `sort` may contain to SQL literals. `default` is used without `sort`. Ties are ordered
    by id, newest first. Raises InvalidFields.
    """
    number = request.page if request.HasField("page") else 1
    size = request.page_size if request.HasField("page_size") else DEFAULT_SIZE
    wrong = {}
    if not 1 <= number <= MAX_PAGE:
        wrong["page"] = f"must be from 1 to {MAX_PAGE}"
    if not 1 <= size <= MAX_SIZE:
        wrong["page_size"] = f"must be from 1 to {MAX_SIZE}"
    terms = ["id DESC"]
    if sorts is not None:
        keys = [key.strip() for key in (request.sort or default).split(",")]
        if any(key.removeprefix("-") not in sorts for key in keys):
            wrong["sort"] = f"can be {', '.join(sorts)}, each with - before it for descending"
        else:
            terms = [sorts[key.removeprefix("-")] + (" DESC" if key.startswith("-") else "") for key in keys] + terms
    if wrong:
        raise InvalidFields(wrong)
    return Page(number, size, ", ".join(terms))
