"""The node catalogue: the list of agent-builder/nodes, and what an export needs to know."""

import pytest

from workflow_service.dynamiq_config import catalogue
from workflow_service.dynamiq_config.catalogue import NodeType


def test_node_types_are_listed_by_type_and_by_group():
    types = catalogue.node_types()

    assert NodeType("dynamiq.nodes.llms.OpenAI", "llms", "OpenAI") in types
    assert [node.type for node in types] == sorted({node.type for node in types})
    assert {node.group for node in catalogue.node_types("llms")} == {"llms"}
    assert catalogue.node_types("nobody") == []


def test_every_node_type_has_the_form_that_the_official_client_accepts():
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
def test_the_catalogue_knows_a_class_by_each_name_that_loads_it(name):
    assert catalogue.is_node_type(name)


def test_every_connection_class_that_a_node_accepts_has_fields():
    accepted = {name for node in catalogue.node_types() for name in catalogue.accepted_connections(node.type)}

    assert all(catalogue.connection_fields(name) is not None for name in accepted)
