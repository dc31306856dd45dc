"""`flowpin up` reports wrong and ineffective settings, listens at --host, and names its data folder in hints."""

import pytest

from tests.support.up_process import Up, call, flowpin


def test_up_starts_nothing_with_a_wrong_setting(tmp_path):
    up = Up(tmp_path / "data", GATEWAY_MAX_REQUESTS="many").start()

    assert up.ended() == 1
    assert len(up.output.splitlines()) == 1
    assert "nothing can start with GATEWAY_MAX_REQUESTS: " in up.output
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_up_listens_at_host_and_its_hints_name_its_data_folder(tmp_path):
    others = {"GATEWAY_LISTEN": "127.0.0.1:9", "GATEWAY_MAX_REQUEST": "4"}
    up = Up(tmp_path / "data", FLOWPIN_RUNTIMES=str(tmp_path / "none"), **others)
    up = up.start(host="127.0.0.2").ready()

    demo = flowpin("demo", "--data", str(up.data))
    doctor = flowpin("doctor", "--data", str(up.data))
    me = call(up.env, "GET", "/v1/me")
    up.end()

    assert up.env["FLOWPIN_URL"].startswith("http://127.0.0.2:")
    assert me["data"]["id"]
    assert "GATEWAY_LISTEN has no effect" in up.output
    assert "Did you mean GATEWAY_MAX_REQUESTS?" in up.output
    assert f"`flowpin demo --data {up.data}`" in up.output
    assert f"`flowpin runtime install --data {up.data}`" in up.output
    assert (demo.returncode, doctor.returncode) == (0, 0), demo.stderr + doctor.stdout
    assert demo.stdout.startswith(f"Calls {up.env['FLOWPIN_URL']}, ")
