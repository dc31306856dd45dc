"""The node catalogue: what agent-builder/nodes lists, and what export asks."""

import pytest

from workflow_service.dynamiq_config import catalogue
from workflow_service.dynamiq_config.catalogue import NodeType


def test_node_types_are_listed_by_type_and_by_group():
    types = catalogue.node_types()

    assert NodeType("dynamiq.nodes.llms.OpenAI", "llms", "OpenAI") in types
    assert [node.type for node in types] == sorted({node.type for node in types})
    assert {node.group for node in catalogue.node_types("llms")} == {"llms"}
    assert catalogue.node_types("nobody") == []


def test_every_node_type_is_what_the_official_client_takes_for_one():
    assert all(node.type.startswith("dynamiq.nodes.") and node.type.count(".") > 2 for node in catalogue.node_types())


@pytest.mark.parametrize(
    "name",
    [
        "dynamiq.nodes.tools.Python",
        "dynamiq.nodes.tools.python.Python",
        "dynamiq.nodes.agents.agent.Agent",
        "dynamiq.nodes.extractors.EntityExtractor",
    ],
)
def test_a_class_is_known_by_each_name_that_loads_it(name):
    assert catalogue.is_node_type(name)


def test_every_class_that_a_node_accepts_has_fields():
    accepted = {name for node in catalogue.node_types() for name in catalogue.accepted_connections(node.type)}

    assert all(catalogue.connection_fields(name) is not None for name in accepted)
