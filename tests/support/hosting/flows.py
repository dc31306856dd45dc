"""Flows of standin_engine.py that do what a test asks for in a run's input."""

from textwrap import dedent


def flow(code: str) -> dict[str, str]:
    return {"code": dedent(code)}


DOES_AS_TOLD = {
    "name": "does as told",
    "code": dedent("""
        import os, time

        def run(value, emit, canceled):
            if "loop" in value:
                while True:
                    pass
            if "wait" in value:
                canceled.wait(value["wait"])
            if "sleep" in value:
                time.sleep(value["sleep"])
            if "exit" in value:
                os._exit(value["exit"])
            if "child" in value and os.fork() == 0:
                time.sleep(60)
            for item in value.get("stream", []):
                emit("streaming", item)
            if "flood" in value:
                while not canceled.is_canceled:
                    emit("streaming", "x" * value["flood"])
            return {"echo": value.get("echo"), "pid": os.getpid()}
    """),
}

PROBES = {
    "name": "probes",
    "code": dedent("""
        import ctypes, os, resource, socket, sys, threading

        libc = ctypes.CDLL(None, use_errno=True)

        def syscall(number, *arguments):
            if libc.syscall(number, *arguments) < 0:
                raise OSError(ctypes.get_errno(), "syscall")

        def run(value, emit, canceled):
            names = dict(globals())
            try:
                if "do" in value:
                    exec(value["do"], names)
                return {"value": eval(value.get("is", "None"), names)}
            except Exception as error:
                return {"error": type(error).__name__, "errno": getattr(error, "errno", None), "text": str(error)}
    """),
}
"""A flow that executes `do` and answers the value of `is`, or the error."""

FORK_BOMB = flow("""
    import os, time

    def run(value, emit, canceled):
        while True:
            try:
                os.fork()
            except OSError:
                time.sleep(0.01)
""")

MEMORY_EATER = flow("""
    def run(value, emit, canceled):
        data = b"x" * value["bytes"]
        return data.decode() if value.get("whole") else len(data)
""")

KEEPS_MEMORY = flow("""
    kept = []

    def run(value, emit, canceled):
        kept.append(b"x" * value["bytes"])
        return sum(range(3_000_000))
""")

SHARED_MEMORY_EATER = flow("""
    import mmap

    kept = mmap.mmap(-1, 300 << 20)

    def run(value, emit, canceled):
        for _ in range(250):
            kept.write(b"x" * (1 << 20))
        canceled.wait(20)
""")

DISK_EATER = flow("""
    import os

    def run(value, emit, canceled):
        for number in range(9):
            with open(os.path.join(os.environ["HOME"], str(number)), "wb") as file:
                file.write(b"x" * (1 << 19))
        canceled.wait(20)
""")
