"""Alternatives to Flowpin, measured in the same run by `python -m tests.load.bench --peers`.

    mlflow.py, prefect.py   the servers, on the same Postgres     environment.py   installs each in its own environment
    envoy.py                compared with the gateway             server.py        starts it, and ends it by its pid
    ours.py                 our side of the comparison            database.py      a database of its own
    figure.py               measures both, one Row                stripped.py      starts stripped_gateway.py and
                                                                  stripped_services.py: the unavoidable work

Each is pinned to the versions that were tested here, and runs as installed: its own server, its own defaults, without
authentication (the default of both). Only telemetry is turned off, so that nothing leaves the machine.
"""
