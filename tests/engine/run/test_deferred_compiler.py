"""torch's compiler is imported when something is compiled, and knows then what was marked before."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from engine.run.deferred_compiler import defer_compiler

defer_compiler()
import torch
from torch._dynamo import allow_in_graph

@allow_in_graph
class Allowed(torch.nn.Module):
    def forward(self, x):
        return x + 1

@torch.compiler.assume_constant_result
def constant():
    return 3

@torch.compiler.disable
def disabled(x):
    return x * 2

@torch.compiler.disable(recursive=False)
def alone(x):
    return x * 3

x = torch.ones(2)
assert disabled(x).tolist() == [2, 2]
assert alone(x).tolist() == [3, 3]
imported = [name for name in sys.modules if name.startswith("torch._dynamo.")]
assert not imported, imported

allowed = Allowed()

@torch.compile(backend="eager")
def compiled(x):
    return alone(disabled(allowed(x) + constant()) * x)

assert compiled(x).tolist() == [30, 30]
assert "torch._dynamo.eval_frame" in sys.modules
assert constant._dynamo_marked_constant
assert torch._dynamo.trace_rules.is_callable_allowed(Allowed)
assert len(torch._dynamo.explain(compiled)(x).break_reasons) == 2
print("done")
"""


def test_marks_wait_for_the_compiler() -> None:
    ended = subprocess.run([sys.executable, "-c", SCRIPT], check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "done\n"
