"""`python -m tests.load.bench`: what Flowpin does on this machine, each figure next to its ceiling of the same run.

    __main__.py, run.py   the command line, one run    context.py             what every row is given
    result.py             Load, Target and Row         rows/                  one module a group of rows
    stack.py              `flowpin up`, from outside   report/                table, JSON, Markdown, picture
    seeds.py, graphs.py   what is read and written     floors.py, recording.py  our own SQL as pgbench scripts
    processes.py          CPU and memory               metrics.py             RPCs by code, as the service counts them
    h2load.py, wrk.py, pgbench.py, caller.py           what drives: run it, read what it found
    open_loop.py          calls due at fixed times     database.py            statements as Postgres' superuser

For whoever adds rows from elsewhere (`tests/load/peers/mlflow.py`, `prefect.py`, `envoy.py`, run with `--peers`): a
module with

    def measure(bench: Bench) -> list[Row]: ...

(`async def` will do too), called after our own rows, while our stack is still up. From `bench` (context.Bench) it has

- `bench.quick`, `bench.seconds(normal, quick)`: how long to drive each load;
- `bench.stack.url`, `.token`, `.project_id`, `.workflow_grpc`, `.deploy_grpc` (host:port), `.headers`, `.admin_url`
  (Postgres as superuser on our own server: `CREATE DATABASE` there what a peer needs; Unix socket, so
  `postgresql://postgres@/flowpin?host=/tmp/flowpin-…&port=5432`), `.role_url(role, database)`;
- `bench.scratch`: a folder that is removed afterwards; `bench.say(text)`: progress on stderr;
- `bench.rest(requests, …)`: our own gateway under wrk, `bench.wrk(url, requests, …)`: anybody's server under wrk,
  `bench.grpc(…)`: our workflow service under h2load; each returns a `Load` (rate, p50_ms, p99_ms, errors) or raises
  Unmeasurable;
- `bench.rate("Save, spread")`: what a row of ours measured in this run, calls a second; None when it was not run.
  Names are those of the table: see rows/__init__.py;
- `bench.compare(ceiling, ours, pairs)`: interleaved pairs, median of ratios (context.py).

It returns a `Row` a figure. A ratio that is to be 20 times a peer's rate:

    Row("Peer: MLflow create version", load=theirs, value=ours / theirs.rate, target=Target.at_least(20, TIMES))

and raises `Unmeasurable("mlflow is missing: pip install …")`, naming the package, when a tool is not there.
"""
