"""Settings: which of two places wins, and what is said of one that is no setting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine import settings
from engine.errors import GraphError


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in settings.Settings.model_fields:
        monkeypatch.delenv(f"{settings.PREFIX}{name.upper()}", raising=False)


def in_file(home: Path, /, **values: object) -> None:
    (home / "settings.json").write_text(json.dumps(values))


def refused(home: Path) -> str:
    with pytest.raises(GraphError) as caught:
        settings.load(home)
    assert {problem.code for problem in caught.value.problems} == {"bad_settings"}
    return str(caught.value)


def test_settings_have_defaults(tmp_path: Path) -> None:
    found = settings.load(tmp_path)
    assert (found.device, found.workers, found.checked, found.folders) == ("auto", 4, False, {})
    assert found.disk_budget == 20 * 2**30


def test_settings_precedence_is_caller_environment_file_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_file(tmp_path, workers=2, device="cpu", memory_budget=5)
    monkeypatch.setenv("SAFELIGHT_WORKERS", "3")
    monkeypatch.setenv("SAFELIGHT_DEVICE", "cuda")
    monkeypatch.setenv("SAFELIGHT_CHECKED", "true")
    found = settings.load(tmp_path, device="mps")
    assert (found.workers, found.device, found.memory_budget, found.checked) == (3, "mps", 5, True)


def test_the_home_is_given_or_of_the_environment_and_never_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_file(tmp_path, home="/elsewhere")
    monkeypatch.setenv("SAFELIGHT_HOME", str(tmp_path))
    assert settings.load().home == tmp_path
    assert settings.load(tmp_path / "other").home == tmp_path / "other"


def test_a_user_without_a_home_folder_is_told_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(*args: object) -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", homeless)
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(GraphError) as refused:
        settings.load()
    (problem,) = refused.value.problems
    assert problem.code == "no_home"
    assert problem.hint is not None
    assert "SAFELIGHT_HOME" in problem.hint


def test_a_home_that_is_a_file_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(GraphError) as refused:
        settings.load(tmp_path / "home")
    (problem,) = refused.value.problems
    assert (problem.code, str(tmp_path / "home") in problem.message) == ("bad_home", True)


def test_folders_of_both_places_are_joined_kind_by_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_file(tmp_path, folders={"checkpoints": ["/a"], "inputs": ["~/pictures"]})
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("SAFELIGHT_FOLDERS", '{"checkpoints": ["/b"]}')
    found = settings.load(tmp_path)
    assert found.folders_of("checkpoints") == [tmp_path / "models" / "checkpoints", Path("/b")]
    assert found.folders_of("inputs") == [tmp_path / "inputs", Path("/home/somebody/pictures")]


def test_variables_that_are_no_settings_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFELIGHT_DEBUG", "1")
    monkeypatch.setenv("WORKERS", "9")
    assert settings.load(tmp_path).workers == 4


def test_every_problem_names_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_file(tmp_path, workers=0, devise="cpu", folders={"inputs": "no list"})
    monkeypatch.setenv("SAFELIGHT_DISK_BUDGET", "much")
    said = refused(tmp_path).splitlines()
    path = tmp_path / "settings.json"
    assert len(said) == 4
    assert any("setting workers " in line and line.endswith(str(path)) for line in said)
    assert f"{path}: the setting devise does not exist · hint: did you mean device?" in said
    assert any("setting folders.inputs " in line and line.endswith(str(path)) for line in said)
    assert any("disk_budget" in line and "SAFELIGHT_DISK_BUDGET" in line for line in said)


@pytest.mark.parametrize("text", ["/a:/b", '["/a"]', ""])
def test_folders_in_the_environment_that_are_no_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("SAFELIGHT_FOLDERS", text)
    assert "SAFELIGHT_FOLDERS" in refused(tmp_path)


@pytest.mark.parametrize("text", ["[]", "3"])
def test_a_file_that_is_no_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.json").write_text(text)
    assert "is not a JSON object" in refused(tmp_path)


def test_kinds_of_folder_that_nothing_reads_are_found(tmp_path: Path) -> None:
    in_file(tmp_path, folders={"chekpoints": ["/a"], "inputs": ["/b"], "music": ["/c"]})
    problems = settings.folder_problems(settings.load(tmp_path), {"inputs", "checkpoints"})
    unknown = [problem for problem in problems if problem.code == "bad_settings"]
    assert [problem.hint for problem in unknown] == [
        "did you mean checkpoints?",
        "the kinds are checkpoints, inputs",
    ]
    assert {problem.severity for problem in unknown} == {"error"}


def test_a_folder_that_does_not_exist_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    in_file(tmp_path, folders={"inputs": [str(tmp_path / "more"), str(tmp_path / "mroe")]})
    (problem,) = settings.folder_problems(settings.load(tmp_path), {"inputs"})
    assert (problem.code, problem.severity) == ("missing_folder", "warning")
    assert "mroe" in problem.message
