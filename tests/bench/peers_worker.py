"""The trivial graphs in another engine, by the environment of the peers: `peers_worker.py PEER SHAPE SIZE`.

Each line that comes in is a salt; the answer is a line of JSON: the CPU seconds of one run, and its results.
Building the graph is not timed, on neither side.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

Run = Callable[[int], list[int]]


def hamilton(shape: str, size: int, cache: str | None) -> Run:
    """Functions whose parameters are named like the functions that they depend on."""
    from hamilton import driver  # type: ignore[import-not-found]

    source = f"def n0(salt: int) -> int:\n    return salt + {int(shape == 'chain')}\n"
    for n in range(1, size):
        before, step = (f"n{n - 1}", 1) if shape == "chain" else ("n0", n - 1)
        source += f"def n{n}({before}: int) -> int:\n    return {before} + {step}\n"
    module = sys.modules["trivial_graph"] = ModuleType("trivial_graph")
    exec(source, module.__dict__)
    builder = driver.Builder().with_modules(module)
    built = (builder.with_cache(path=cache) if cache else builder).build()
    wanted = [f"n{size - 1}"] if shape == "chain" else [f"n{n}" for n in range(1, size)]

    def run(salt: int) -> list[int]:
        made = built.execute(wanted, inputs={"salt": salt})
        return [int(made[name]) for name in wanted]

    return run


def dagster(shape: str, size: int) -> Run:
    """A job of ops, in this process and with an instance that keeps nothing."""
    import dagster as dg  # type: ignore[import-not-found]

    @dg.op(config_schema={"salt": int}, out=dg.Out(int))  # type: ignore[untyped-decorator]
    def first(context) -> int:  # type: ignore[no-untyped-def]  # Dagster refuses Any
        return int(context.op_config["salt"]) + (shape == "chain")

    def add(step: int) -> Any:
        def plus(a: int) -> int:
            return a + step

        return dg.op(name=f"add{step}", ins={"a": dg.In(int)}, out=dg.Out(int))(plus)

    steps = [1] * (size - 1) if shape == "chain" else list(range(size - 1))
    ops = {step: add(step) for step in steps}

    @dg.job  # type: ignore[untyped-decorator]
    def graph() -> None:
        root = last = first()
        for n, step in enumerate(steps):
            last = ops[step].alias(f"n{n}")(last if shape == "chain" else root)

    wanted = [f"n{size - 2}"] if shape == "chain" else [f"n{n}" for n in range(size - 1)]
    quiet = {"console": {"config": {"log_level": "CRITICAL"}}}

    def run(salt: int) -> list[int]:
        made = graph.execute_in_process(
            run_config={"ops": {"first": {"config": {"salt": salt}}}, "loggers": quiet}
        )
        return [int(made.output_for_node(name)) for name in wanted]

    return run


def main(peer: str, shape: str, size: int) -> None:
    """Answer each salt."""
    os.environ |= {"DAGSTER_DISABLE_TELEMETRY": "1", "HAMILTON_TELEMETRY_ENABLED": "false"}
    sys.setrecursionlimit(100_000)  # Hamilton goes through a graph by recursion
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever the peer prints goes elsewhere
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if peer == "Dagster":
            run = dagster(shape, size)
        else:
            run = hamilton(shape, size, folder if "cache" in peer else None)
        for line in sys.stdin:
            start = time.process_time()
            results = run(int(line))
            spent = time.process_time() - start
            print(json.dumps({"cpu": spent, "results": results}), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
