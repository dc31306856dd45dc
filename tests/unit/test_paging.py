"""The page that a list request asks for, its order, and its Pagination."""

import pytest

from service_kit.errors import InvalidFields
from service_kit.paging import MAX_PAGE, Page, page_of
from service_kit.pb.flowpin.identity.v1 import identity_pb2
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb

SORTS = {"name": "w.name", "updated_at": "w.updated_at"}


def page(**fields) -> Page:
    return page_of(pb.ListWorkflowsRequest(**fields), SORTS, default="name")


def wrong_fields(**fields) -> dict[str, str]:
    with pytest.raises(InvalidFields) as caught:
        page(**fields)
    return dict(caught.value.fields)


def test_a_page_has_25_entries_by_default():
    assert page() == Page(1, 25, "w.name, id DESC")
    assert page(page=3, page_size=500) == Page(3, 500, "w.name, id DESC")


def test_a_list_without_sort_fields_has_pages_too():
    assert page_of(identity_pb2.ListOrgsRequest(page=2)) == Page(2, 25, "id DESC")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"page": 0}, ["page"]),
        ({"page": -1}, ["page"]),
        ({"page": MAX_PAGE + 1}, ["page"]),
        ({"page_size": 0}, ["page_size"]),
        ({"page_size": 501}, ["page_size"]),
        ({"page": 0, "page_size": 501, "sort": "id"}, ["page", "page_size", "sort"]),
    ],
)
def test_each_page_field_out_of_range_is_named(fields, wrong):
    assert list(wrong_fields(**fields)) == wrong


@pytest.mark.parametrize(("total", "pages"), [(0, 0), (1, 1), (10, 1), (11, 2), (20, 2)])
def test_pagination_has_the_number_of_pages(total, pages):
    second = page(page=2, page_size=10)

    assert second.offset == 10
    assert second.of(total) == {"page": 2, "page_size": 10, "page_count": pages, "total_count": total}


@pytest.mark.parametrize(
    ("sort", "clause"),
    [
        ("", "w.name, id DESC"),
        ("-updated_at", "w.updated_at DESC, id DESC"),
        ("name,-updated_at", "w.name, w.updated_at DESC, id DESC"),
        (" -name , updated_at", "w.name DESC, w.updated_at, id DESC"),
    ],
)
def test_equal_entries_are_sorted_by_id_newest_first(sort, clause):
    assert page(sort=sort).order_by == clause


@pytest.mark.parametrize("sort", ["id", "name,", ",", "-", "--name", "+name", "name desc", "w.name", "name;DROP"])
def test_an_unknown_sort_field_is_refused_with_the_known_ones(sort):
    assert wrong_fields(sort=sort) == {"sort": "can be name, updated_at, each with - before it for descending"}
