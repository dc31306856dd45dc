"""What a user would pick instead of Flowpin, measured in the same run by `python -m tests.load.bench --peers`.

    mlflow.py, prefect.py   the servers, on the same Postgres     environment.py   installs each apart from ours
    envoy.py                the yardstick for the gateway         server.py        starts it, and ends it by its pid
    ours.py                 what of ours is compared              database.py      a database of its own
    figure.py               drives of both, one Row               stripped.py      starts stripped_gateway.py and
                                                                  stripped_services.py: what cannot be left out

Each is pinned to the versions that were tested here, and runs as it is installed: its own server, its own defaults, no
authentication (neither has any unless asked), only telemetry turned off, as nothing here leaves the machine.
"""
