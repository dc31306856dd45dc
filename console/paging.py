"""The requested page of a list, and the page numbers to offer."""

from collections.abc import Iterator, Mapping

MAX_PAGE = 1_000_000


def page_number(query: Mapping[str, str]) -> int:
    """An invalid page number means the first page."""
    text = query.get("page", "")
    return min(int(text), MAX_PAGE) if text.isascii() and text.isdecimal() and int(text[:9]) > 0 else 1


def pages_around(page: int, count: int) -> Iterator[int | None]:
    """The page numbers to offer: the first, the last and the neighbours. None marks a gap."""
    last = 0
    for number in sorted({1, count, page - 1, page, page + 1}):
        if 1 <= number <= count:
            if number - last > 1:
                yield None
            yield number
            last = number
