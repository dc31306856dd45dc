"""`bin/python` of a runtime without the SDK: the worker's program with standin_engine.py instead of sdk.py."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

isolated, command, code, *arguments = sys.argv[1:]
assert (isolated, command) == ("-I", "-c")
sys.path.insert(0, arguments[0])
spec = spec_from_file_location("worker.sdk", Path(__file__).with_name("standin_engine.py"))
engine = module_from_spec(spec)
spec.loader.exec_module(engine)
sys.modules["worker.sdk"] = engine
sys.argv = ["-c", *arguments]
exec(code)
