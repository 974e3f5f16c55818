"""Compute settings: decided in one place, refused with a hint, and part of the key of accelerator nodes."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from engine import settings
from engine.context import Context
from engine.devices import compute
from engine.devices.compute import ComputeSettings, compute_settings, require_device
from engine.document.graph import Graph
from engine.document.reader import from_json
from engine.errors import GraphError
from engine.node import Node
from engine.packs.registry import Registry
from engine.session import Session
from engine.settings import Settings


def decided(home: Path, **given: Any) -> ComputeSettings:
    return compute_settings(settings.load(home, **given))


def codes(home: Path, **given: Any) -> list[str]:
    with pytest.raises(GraphError) as caught:
        decided(home, **given)
    assert all(problem.hint for problem in caught.value.problems)
    return [problem.code for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("device", "dtype", "expected"),
    [
        ("mps", "auto", "mps, float32, sdpa attention"),
        ("cuda", "auto", "cuda, float16, sdpa attention"),
        ("cuda:1", "bfloat16", "cuda, bfloat16, sdpa attention"),
        ("cpu", "float16", "cpu, float16, sdpa attention"),
    ],
)
def test_auto_is_decided_by_the_kind_of_device(
    tmp_path: Path, device: str, dtype: str, expected: str
) -> None:
    found = decided(tmp_path, device=device, dtype=dtype)
    assert (found.device, found.signature) == (device, expected)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags\t\t: fpu avx512_bf16 amx_tile amx_bf16\n", "bfloat16"),
        ("flags\t\t: fpu avx512_bf16 amx_tile\n", "float32"),
        ("Features\t: fp asimd bf16\n", "float32"),
        (None, "float32"),
    ],
)
def test_auto_is_bfloat16_on_a_cpu_that_multiplies_its_matrices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str | None, expected: str
) -> None:
    place = tmp_path / "cpuinfo"
    if flags is not None:
        place.write_text(f"processor\t: 0\n{flags}bugs\t\t:\n")
    monkeypatch.setattr(compute, "CPU_FACTS", place)
    monkeypatch.setattr(compute, "_has_matrix_units", compute._has_matrix_units.__wrapped__)
    assert decided(tmp_path, device="cpu", dtype="auto").dtype == expected
    assert decided(tmp_path, device="cpu", dtype="float32").dtype == "float32"
    assert decided(tmp_path, device="mps", dtype="auto").dtype == "float32"


def test_every_setting_but_the_place_of_models_changes_the_signature() -> None:
    cases = [
        ComputeSettings("cuda"),
        ComputeSettings("cpu"),
        ComputeSettings("cuda", "float16"),
        ComputeSettings("cuda", attention="plain"),
        ComputeSettings("cuda", compile="blocks"),
        ComputeSettings("cuda", compile="whole"),
        ComputeSettings("cuda", storage_dtype="float8_e4m3fn"),
        ComputeSettings("cuda", channels_last=True),
        ComputeSettings("cuda", vae_dtype="float16"),
        ComputeSettings("cuda", vae_tiling=True),
        ComputeSettings("cuda", vae_slicing=True),
    ]
    assert len({case.signature for case in cases}) == len(cases)
    assert ComputeSettings("cuda:0").signature == ComputeSettings("cuda:1").signature
    offloaded = ComputeSettings("cuda", offload="blocks")
    assert offloaded.signature == ComputeSettings("cuda").signature
    assert offloaded.placement != ComputeSettings("cuda").placement


def test_a_wrong_setting_is_a_problem_with_a_hint_and_all_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SAFELIGHT_DTYPE")  # it would take precedence over the file
    assert codes(tmp_path, device="gpu", dtype="fp8", attention="flash") == [
        "bad_device",
        "bad_dtype",
        "bad_attention",
    ]
    (tmp_path / "settings.json").write_text('{"dtype": "half", "attention": 3}')
    with pytest.raises(GraphError) as caught:
        settings.load(tmp_path)
    assert [problem.code for problem in caught.value.problems] == ["bad_settings", "bad_settings"]


def test_settings_that_do_not_work_together_are_refused(tmp_path: Path) -> None:
    for name, value in (("compile", "all"), ("offload", "layers"), ("storage_dtype", "int4")):
        assert codes(tmp_path, device="cpu", **{name: value}) == [f"bad_{name}"]
    assert codes(tmp_path, device="mps", storage_dtype="float8_e4m3fn") == ["bad_storage_dtype"]
    for other in ({"offload": "blocks"}, {"storage_dtype": "float8_e4m3fn"}):
        with pytest.raises(GraphError) as caught:
            decided(tmp_path, device="cpu", compile="blocks", **other)
        assert [problem.code for problem in caught.value.problems] == ["bad_compile"]
    found = decided(tmp_path, device="cpu", offload="blocks", storage_dtype="float8_e4m3fn")
    assert (found.offload, found.storage_dtype) == ("blocks", "float8_e4m3fn")


@pytest.mark.parametrize(
    ("device", "torch", "system", "refused"),
    [
        ("cuda", "2.13.0+cpu", "linux", True),
        ("cuda:1", "2.13.0+cpu", "linux", True),
        ("cuda", "2.13.0+cu130", "linux", False),
        ("cuda", "2.13.0", "darwin", True),
        ("mps", "2.13.0", "darwin", False),
        ("mps", "2.13.0+cpu", "linux", True),
        ("cpu", "2.13.0+cpu", "linux", False),
    ],
)
def test_a_device_that_torch_cannot_have_is_refused(
    monkeypatch: pytest.MonkeyPatch, device: str, torch: str, system: str, refused: bool
) -> None:
    monkeypatch.setattr("engine.devices.compute.version", lambda name: torch)
    monkeypatch.setattr(sys, "platform", system)
    if not refused:
        require_device(device)
        return
    with pytest.raises(GraphError) as caught:
        require_device(device)
    (problem,) = caught.value.problems
    assert problem.code == "bad_device"
    assert problem.hint


def test_compilation_needs_what_it_compiles_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert codes(tmp_path, device="mps", compile="whole") == ["bad_compile"]
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert codes(tmp_path, device="cpu", compile="whole") == ["bad_compile"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert codes(tmp_path, device="cuda", compile="whole") == ["bad_compile"]


class Precision(Node, accelerator=True):
    """The precision that it computes in."""

    def run(self, ctx: Context) -> str:
        return ctx.compute.dtype


class Name(Node):
    """A node that does not compute on the device."""

    def run(self, ctx: Context) -> str:
        return "name"


def graph(kind: str) -> Graph:
    return from_json({"safelight": 1, "nodes": {"a": {"type": kind}}, "outputs": {"out": {"from": "a.out"}}})


@pytest.mark.parametrize("other", [{"dtype": "float16"}, {"attention": "plain"}, {"compile": "blocks"}])
def test_another_way_to_compute_is_another_key_for_accelerator_nodes_alone(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    found: list[Settings] = [settings.load(tmp_path, device="cpu", **given) for given in ({}, other)]
    keys: dict[str, list[str | None]] = {"Precision": [], "Name": []}
    for one in found:
        with Session(one, registry=Registry([Precision, Name])) as session:
            for kind, of_kind in keys.items():
                of_kind.append(session.plan(graph(kind)).steps["a"].key)
    assert keys["Precision"][0] != keys["Precision"][1]
    assert keys["Name"][0] == keys["Name"][1]


def test_each_dtype_has_its_own_result(tmp_path: Path) -> None:
    for dtype in ("float32", "bfloat16", "float32"):
        found = settings.load(tmp_path, device="cpu", dtype=dtype)
        with Session(found, registry=Registry([Precision])) as session:
            assert session.run(graph("Precision")).outputs["out"].meta == dtype


def test_a_run_is_refused_before_its_first_step_unless_all_results_are_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.devices.compute.version", lambda name: "2.13.0+cu130")
    with Session(settings.load(tmp_path, device="cuda"), registry=Registry([Precision, Name])) as session:
        assert session.run(graph("Precision")).state == "done"
        monkeypatch.setattr("engine.devices.compute.version", lambda name: "2.13.0+cpu")
        assert session.run(graph("Precision")).state == "done", "its result is cached"
        assert session.run(graph("Name")).state == "done"
    other = settings.load(tmp_path / "other", device="cuda")
    with Session(other, registry=Registry([Precision])) as session, pytest.raises(GraphError) as caught:
        session.run(graph("Precision"))
    assert [problem.code for problem in caught.value.problems] == ["bad_device"]
