"""How many processes `flowpin up` starts, and which ports they use in this run and the next."""

import json
import os
from pathlib import Path

import pytest

from flowpin_cli.machine.data_folder import DataFolder, choose_ports, last_ports
from flowpin_cli.postgres.urls import Databases
from flowpin_cli.up.children import Children
from flowpin_cli.up.workers import Workers, workers

DATABASES = Databases("admin", lambda role: "url", are_external=False)


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    (tmp_path / "logs").mkdir()
    return DataFolder(tmp_path)


def children(folder: DataFolder, count: Workers, **environ: str) -> Children:
    ports = choose_ports(folder, 0, workflow=count.workflow, deploy=count.deploy)
    return Children(folder, ports, environ, count)


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        (1, Workers(1, 1, 1)),
        (2, Workers(1, 1, 1)),
        (3, Workers(1, 1, 1)),
        (4, Workers(2, 2, 1)),
        (16, Workers(8, 8, 1)),
    ],
)
def test_the_default_number_of_workers_depends_on_the_cores(monkeypatch, cores, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))

    assert workers(None) == expected


def test_a_given_number_of_workers_applies_to_each_service():
    assert workers(3) == Workers(gateway=3, workflow=3, deploy=3)


def test_every_worker_has_a_port_that_all_callers_know(folder: DataFolder):
    ours = children(folder, Workers(2, 2, 2))

    first, second = ours.workflows(DATABASES)
    targets = ",".join(child.command.env["WORKFLOW_LISTEN"] for child in (first, second))
    assert len(set(targets.split(","))) == 2
    assert [child.name for child in (first, second)] == ["workflow", "workflow-2"]
    assert {child.command.env["DEPLOY_WORKFLOW_TARGET"] for child in ours.deploys(DATABASES, "token")} == {targets}
    assert {child.command.env["GATEWAY_WORKFLOW_TARGET"] for child in ours.gateways()} == {targets}


def test_several_gateways_share_a_port(folder: DataFolder):
    several = children(folder, Workers(2, 1, 1)).gateways()
    [alone] = children(folder, Workers()).gateways()

    assert len({child.command.env["GATEWAY_LISTEN"] for child in several}) == 1
    assert {child.command.env["GATEWAY_SHARE_PORT"] for child in several} == {"true"}
    assert "GATEWAY_SHARE_PORT" not in alone.command.env, "another program on its port is then an error"


def test_each_worker_has_its_own_metrics_port(folder: DataFolder):
    ours = children(folder, Workers(1, 3, 1), WORKFLOW_METRICS_LISTEN="127.0.0.1:9100")

    found = [child.command.env["WORKFLOW_METRICS_LISTEN"] for child in ours.workflows(DATABASES)]

    assert found == ["127.0.0.1:9100", "127.0.0.1:9110", "127.0.0.1:9120"]
    assert "DEPLOY_METRICS_LISTEN" not in ours.deploys(DATABASES, "token")[0].command.env


def test_the_next_run_reuses_the_ports_of_the_last_run(folder: DataFolder):
    two = choose_ports(folder, 0, workflow=2, deploy=2)

    three = choose_ports(folder, 0, workflow=3, deploy=1)

    assert (three.gateway, three.workflow[:2], three.deploy) == (two.gateway, two.workflow, two.deploy[:1])
    assert last_ports(folder) == three


def test_ports_saved_by_an_earlier_release_are_read(folder: DataFolder):
    (folder.path / "ports.json").write_text(json.dumps({"gateway": 20_001, "workflow": 20_002, "deploy": 20_003}))

    ports = choose_ports(folder, 0)

    assert (ports.gateway, ports.workflow, ports.deploy) == (20_001, [20_002], [20_003])
