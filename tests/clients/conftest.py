"""The wheel of the light client, built once, and environments to import it in."""

from pathlib import Path

import pytest

from tests.support.clients.environments import UV, environment, light_source, run


@pytest.fixture(scope="session")
def light_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy by way of its source distribution, as the build writes stubs into its folder."""
    folder = tmp_path_factory.mktemp("light")
    run(UV, "build", "--quiet", "--out-dir", folder / "dist", light_source(folder))
    [wheel] = (folder / "dist").glob("*.whl")
    return wheel


@pytest.fixture(scope="session", params=["oldest", "newest"])
def light_python(request: pytest.FixtureRequest, light_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the client: with the versions that dynamiq 0.69 pins, and with the newest."""
    versions = ["grpcio==1.78.2", "protobuf==6.33.6"] if request.param == "oldest" else ["protobuf>=7"]
    return environment(tmp_path_factory.mktemp("environments") / request.param, f"{light_wheel}[types]", *versions)
