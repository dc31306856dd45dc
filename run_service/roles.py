"""The role that each RPC requires. A test checks that every RPC of the contract has one."""

from service_kit.access.file import Role
from service_kit.pb.flowpin.run.v1 import run_pb2

RUN = run_pb2.DESCRIPTOR.services_by_name["RunService"]
SERVICES = [RUN]

ROLES = {
    f"/{RUN.full_name}/InvokeApp": Role.EDITOR,
    f"/{RUN.full_name}/TestWorkflow": Role.EDITOR,
    f"/{RUN.full_name}/TestVersion": Role.EDITOR,
    f"/{RUN.full_name}/ListAppRuns": Role.VIEWER,
    f"/{RUN.full_name}/GetRun": Role.VIEWER,
    f"/{RUN.full_name}/Ping": Role.VIEWER,
}
