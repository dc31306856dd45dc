"""`python -m tests.load.bench` measures Flowpin on this machine, each figure next to its ceiling of the same run.

    __main__.py, run.py   the command line, one run    context.py             the context of every row
    result.py             Load, Target and Row         rows/                  one module per group of rows
    stack.py              `flowpin up` as a process    report/                table, JSON, Markdown, picture
    seeds.py, graphs.py   the data of the rows         floors.py, recording.py  our own SQL as pgbench scripts
    processes.py          CPU and memory               metrics.py             RPCs by code, counted by the service
    h2load.py, wrk.py, pgbench.py, caller.py           the load generators and their output
    open_loop.py          calls due at fixed times     database.py            statements as Postgres' superuser

A module with further rows (`tests/load/peers/mlflow.py`, `prefect.py`, `envoy.py`, run with `--peers`) has

    def measure(bench: Bench) -> list[Row]: ...

(or `async def`), called after our own rows, while our stack is still running. `bench` (context.Bench) has

- `bench.quick`, `bench.seconds(normal, quick)`: how long to drive each load;
- `bench.stack.url`, `.token`, `.project_id`, `.workflow_grpc`, `.deploy_grpc` (host:port), `.headers`, `.admin_url`
  (Postgres as superuser on our own server, for `CREATE DATABASE`; a Unix socket, so
  `postgresql://postgres@/flowpin?host=/tmp/flowpin-…&port=5432`), `.role_url(role, database)`;
- `bench.scratch`: a folder that is removed afterwards; `bench.say(text)`: progress on stderr;
- `bench.rest(requests, …)`: our own gateway under wrk, `bench.wrk(url, requests, …)`: any server under wrk,
  `bench.grpc(…)`: our workflow service under h2load; each returns a `Load` (rate, p50_ms, p99_ms, errors) or raises
  Unmeasurable;
- `bench.rate("Save, spread")`: the rate of a row in this run, calls a second; None when it was not run.
  Names are those of the table: see rows/__init__.py;
- `bench.compare(ceiling, ours, pairs)`: interleaved pairs, median of ratios (context.py).

It returns a `Row` for each figure. For example, our rate should be 20 times a peer's:

    Row("Peer: MLflow create version", load=theirs, value=ours / theirs.rate, target=Target.at_least(20, TIMES))

It raises `Unmeasurable("mlflow is missing: pip install …")`, which names the package, when a tool is missing.
"""
