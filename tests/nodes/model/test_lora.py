"""ApplyLoRA in graphs on the embedded model: pictures change as they should, and come back to the bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as pillow
from safetensors.torch import load_file, save_file

from engine.cli import main
from engine.devices.compute import ComputeSettings
from engine.devices.residency import Residency
from engine.document.graph import Binding, Entry, From, Graph, Literal
from engine.errors import GraphError, NodeError
from engine.events import Event
from engine.run.report import Report
from engine.session import Session
from engine.sources import source
from engine.testing import run_node
from nodes.files import model_files
from nodes.files.checkpoints import EMBEDDED, checkpoint
from nodes.files.patch_files import LORAS, Patch, PatchFile
from nodes.model.describe import DescribeLoRA
from nodes.model.lora import ApplyLoRA
from nodes.values import Model, TextEncoder, Vae
from tests.nodes.conftest import GRAPHS, output, warnings
from tests.nodes.sd.tiny.judge import look

COMPUTE = ComputeSettings()

RECOLOUR = GRAPHS / "loras" / "red-to-blue.safetensors"
ATTENTION = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
PROMPT = "a red circle on a yellow background"


def rand(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small(
    folder: Path, name: str, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None
) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / name, metadata)
    return name


def text_lora(seed: int = 5, size: float = 0.2) -> dict[str, torch.Tensor]:
    """Changes one layer of the text encoder and one of the UNet."""
    text = "lora_te_text_model_encoder_layers_1_self_attn_q_proj"
    unet = "lora_unet_" + ATTENTION.replace(".", "_")
    return {
        f"{key}.lora_{side}.weight": rand(seed + n, *shape) * size
        for key in (text, unet)
        for n, (side, shape) in enumerate({"up": (64, 4), "down": (4, 64)}.items())
    }


@pytest.fixture
def loras(home: Path) -> Path:
    return home / "models" / "loras"


def graph(*stack: dict[str, Any]) -> Graph:
    """Text to image with one ApplyLoRA for each of some inputs, in a row."""
    made = source.load(GRAPHS / "text_to_image.json")
    before = "model"
    for number, inputs in enumerate(stack):
        name = f"lora{number}"
        links = {part: From(before, part) for part in ("model", "encoder")}
        made.nodes[name] = Entry(
            "ApplyLoRA@1", {**links, **{key: Literal(value) for key, value in inputs.items()}}
        )
        before = name
    made.nodes["denoise"].inputs["model"] = From(before, "model")
    for prompt in ("positive", "negative"):
        made.nodes[prompt].inputs["encoder"] = From(before, "encoder")
    return made


def drawn(
    session: Session, made: Graph, prompt: str = PROMPT, steps: int = 3, told: list[Event] | None = None
) -> Any:
    emit = None if told is None else told.append
    return output(session.run(made, {"prompt": prompt, "steps": steps}, emit=emit)).pixels


def problem(report: Report) -> str:
    (failed,) = (fared.problem for fared in report.nodes.values() if fared.state == "failed")
    assert failed is not None
    return str(failed)


def test_two_loras_act_side_by_side(session: Session) -> None:
    made = source.load(GRAPHS / "lora_stack.json")
    session.files.beside = GRAPHS
    for colour in (0.0, 1.0):
        for shape in (0.0, 1.0):
            report = session.run(made, {"colour": colour, "shape": shape, "steps": 12})
            seen = look(pillow.fromarray(output(report).pixels[0]))
            wanted = ("blue" if colour else "red", "star" if shape else "circle", "yellow")
            assert (seen.colour, seen.shape, seen.background) == wanted


def test_a_lora_turns_red_things_blue_and_leaves_the_others(session: Session) -> None:
    made = graph({"lora": str(RECOLOUR), "weight": 1.0})
    for prompt, colour in ((PROMPT, "blue"), ("a green heart on a white background", "green")):
        seen = look(pillow.fromarray(drawn(session, made, prompt, steps=12)[0]))
        assert seen.colour == colour
        assert seen.background == prompt.split()[-2]
        assert seen.shape == prompt.split()[2]


def test_weight_zero_off_and_nothing_are_the_graph_without_it(session: Session, loras: Path) -> None:
    small(loras, "both.safetensors", text_lora())
    plain = drawn(session, graph())
    assert not np.array_equal(drawn(session, graph({"lora": "both.safetensors", "weight": 1.0})), plain)
    for inputs in (
        {"lora": "both.safetensors", "weight": 0.0},
        {"lora": "both.safetensors", "weight": 1.0, "on": False},
        {"lora": ""},
        {"more": [{"lora": "both", "weight": 0.0}, {"lora": "both", "on": False}]},
    ):
        assert np.array_equal(drawn(session, graph(inputs)), plain), inputs


def test_the_recipe_at_weight_zero_equals_the_one_without_it(session: Session, loras: Path) -> None:
    small(loras, "both.safetensors", text_lora())
    made = graph({"lora": "both.safetensors", "weight": 0.0})
    made.outputs = {"plain": From("model", "model"), "changed": From("lora0", "model")}
    report = session.run(made)
    assert output(report, "plain") == output(report, "changed")
    assert output(report, "plain").identity == output(report, "changed").identity


def test_the_two_parts_have_weights_of_their_own(session: Session, loras: Path) -> None:
    small(loras, "both.safetensors", text_lora())
    made = graph({"lora": "both.safetensors", "weight": 0.0, "encoder_weight": 0.6})
    made.outputs = {"model": From("lora0", "model"), "encoder": From("lora0", "encoder")}
    report = session.run(made)
    assert output(report, "model").patches == ()
    (patch,) = output(report, "encoder").patches
    assert patch.strength == 0.6


def test_nodes_in_a_row_are_one_node_with_a_stack_in_any_order(session: Session, loras: Path) -> None:
    for number in (1, 2, 3):
        small(loras, f"{number}.safetensors", text_lora(10 * number))
    rows = [{"lora": f"{number}.safetensors", "weight": 0.3 * number} for number in (1, 2, 3)]
    in_a_row = graph(*rows)
    stacked = graph({**rows[0], "more": rows[1:]})
    for made in (in_a_row, stacked):
        made.outputs = {"image": From("decode", "out"), "model": From(list(made.nodes)[-1], "model")}
    first, second = (session.run(made, {"prompt": PROMPT, "steps": 3}) for made in (in_a_row, stacked))
    assert output(first, "model") == output(second, "model")
    backwards = drawn(session, graph({**rows[2], "more": [rows[1], rows[0]]}))
    assert np.array_equal(output(first).pixels, backwards)
    assert np.array_equal(output(second).pixels, backwards)


def test_tags_of_a_prompt_choose_loras(session: Session, loras: Path) -> None:
    small(loras, "both.safetensors", text_lora())
    made = graph({})
    made.nodes["tags"] = Entry(
        "EncodePrompt@2",
        {
            "encoder": From("model", "encoder"),
            "prompt": Literal("a circle <lora:both:0.5:0.9> <hypernet:x:1> <lora:both:te=0.2:unet=0:dyn=2>"),
        },
    )
    made.nodes["lora0"].inputs["more"] = From("tags", "tags")
    made.outputs = {"model": From("lora0", "model"), "encoder": From("lora0", "encoder")}
    report = session.run(made)
    assert [(patch.strength, patch.ranks) for patch in output(report, "model").patches] == [(0.9, None)]
    assert [(patch.strength, patch.ranks) for patch in output(report, "encoder").patches] == [
        (0.5, None),
        (0.2, 2),
    ]


def digest(network: torch.nn.Module) -> str:
    hasher = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        hasher.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return hasher.hexdigest()


def test_the_base_is_the_same_to_the_bit_after_a_hundred_loras(session: Session, loras: Path) -> None:
    name = small(loras, "both.safetensors", text_lora(size=3.0))
    found = checkpoint(session.files, EMBEDDED)
    source_ = PatchFile(LORAS, session.files.digest(loras / name), name)
    residency = Residency(1 << 30)
    before = digest(residency.use(Model(found), COMPUTE, session.files))
    for turn in range(100):
        patched = residency.use(Model(found, (Patch(source_, 1 + turn / 7),)), COMPUTE, session.files)
        assert not torch.equal(
            patched.get_submodule(ATTENTION).weight,
            residency.use(Model(found), COMPUTE, session.files).get_submodule(ATTENTION).weight,
        )
        if turn % 25 == 24:
            assert digest(residency.use(Model(found), COMPUTE, session.files)) == before
    assert digest(residency.use(Model(found), COMPUTE, session.files)) == before


def test_unpatched_tensors_are_shared(session: Session, loras: Path) -> None:
    name = small(loras, "both.safetensors", text_lora())
    found = checkpoint(session.files, EMBEDDED)
    source_ = PatchFile(LORAS, session.files.digest(loras / name), name)
    residency = Residency(1 << 30)
    base = residency.use(Model(found), COMPUTE, session.files)
    away = loras.parent / "both.safetensors"  # outside of the folders, where no digest finds it
    (loras / name).rename(away)
    with pytest.raises(NodeError, match=r"both\.safetensors"):
        residency.use(Model(found, (Patch(source_, 1.0),)), COMPUTE, session.files)
    away.rename(loras / name)
    strong = residency.use(Model(found, (Patch(source_, 1.0),)), COMPUTE, session.files)
    (loras / name).unlink()  # from here on nothing is read again
    weak = residency.use(Model(found, (Patch(source_, 0.5),)), COMPUTE, session.files)
    (patched,) = residency.use(TextEncoder(found, (Patch(source_, 0.5),)), COMPUTE, session.files)
    (plain,) = residency.use(TextEncoder(found), COMPUTE, session.files)
    assert patched.encoder is not plain.encoder
    own = [
        key
        for key, tensor in weak.state_dict().items()
        if tensor.data_ptr() != base.state_dict()[key].data_ptr()
    ]
    assert own == [f"{ATTENTION}.weight"]
    change = [
        network.get_submodule(ATTENTION).weight - base.get_submodule(ATTENTION).weight
        for network in (strong, weak)
    ]
    assert torch.allclose(change[0], 2 * change[1], atol=1e-6)


def test_a_base_outlives_everything_that_shares_its_memory(session: Session, loras: Path) -> None:
    name = small(loras, "both.safetensors", text_lora())
    found = checkpoint(session.files, EMBEDDED)
    source_ = PatchFile(LORAS, session.files.digest(loras / name), name)
    plain = Model(found)
    residency = Residency(1)  # room for nothing but what is in use
    for turn in range(3):
        patched = Model(found, (Patch(source_, 1.0 + turn),))
        residency.use(patched, COMPUTE, session.files)
        assert {row.identity for row in residency.ledger()} == {plain.identity, patched.identity}
    residency.use(Vae(found), COMPUTE, session.files)
    assert [row.identity for row in residency.ledger()] == [Vae(found).identity]


def test_a_recipe_comes_back_from_its_bytes(session: Session) -> None:
    found = checkpoint(session.files, EMBEDDED)
    patches = (Patch(PatchFile(LORAS, "ab" * 32, "x.safetensors"), -0.5, tuple(range(17)), 4),)
    for recipe in (Model(found, patches), TextEncoder(found, patches), Model(found), TextEncoder(found)):
        packed = recipe.pack()
        back = type(recipe).unpack(packed.meta, {})
        assert back == recipe
        assert back.identity == recipe.identity
        assert hash(back.identity) == hash(recipe.identity)


def test_another_name_for_the_same_bytes_is_the_same_lora() -> None:
    one, two = (Patch(PatchFile(LORAS, "ab" * 32, name), 0.5) for name in ("a.safetensors", "b.safetensors"))
    assert one == two
    assert hash(one) == hash(two)


def test_keys_that_mean_nothing_are_told_with_their_count(session: Session, loras: Path) -> None:
    extra = {
        "lora_unet_nowhere.lora_up.weight": rand(1, 4, 4),
        "lora_unet_nowhere.lora_down.weight": rand(2, 4, 4),
    }
    small(loras, "some.safetensors", {**text_lora(), **extra, "odd": rand(3, 2)})
    told: list[Event] = []
    drawn(session, graph({"lora": "some"}), told=told)
    (warning,) = warnings(told)
    assert "2 keys" in warning
    assert "odd" in warning
    assert "lora_unet_nowhere" in warning


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"lora_unet_nowhere.diff": rand(1, 4)}, "lora_unet_nowhere"),
        (
            {f"lora_unet_{ATTENTION.replace('.', '_')}.diff": rand(1, 64, 768)},
            "made for another kind of model",
        ),
        ({f"lora_unet_{ATTENTION.replace('.', '_')}.diff": torch.full((64, 64), torch.nan)}, "NaN"),
        ({f"lora_unet_{ATTENTION.replace('.', '_')}.diff": torch.full((64, 64), 1e9)}, "huge"),
        (
            {f"lora_unet_{ATTENTION.replace('.', '_')}.diff": torch.ones(64, 64, dtype=torch.int32)},
            "floating-point",
        ),
        (
            {
                f"lora_unet_{ATTENTION.replace('.', '_')}.diff": rand(1, 64, 64),
                f"unet.{ATTENTION}.diff": rand(2, 64, 64),
            },
            "twice",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_the_node(
    session: Session, loras: Path, tensors: dict[str, torch.Tensor], told: str
) -> None:
    small(loras, "bad.safetensors", tensors)
    report = session.run(graph({"lora": "bad.safetensors"}))
    assert report.nodes["lora0"].state == "failed"
    assert told in problem(report)
    assert "bad.safetensors" in problem(report)


def test_an_embedding_as_a_lora_and_a_lora_as_an_embedding_are_the_same_mistake(
    session: Session, home: Path
) -> None:
    words = {"emb_params": rand(1, 2, 64)}
    inputs: dict[str, dict[str, Any]] = {
        "ApplyLoRA@1": {"lora": "words"},
        "ApplyTags@1": {"prompt": "a <lora:words:1>"},
        "LoadEmbeddings@1": {"files": "ink"},
        "OpenEmbedding@1": {"file": "ink"},
        "DescribeLoRA@1": {"lora": "words"},
        "DescribeEmbeddings@1": {"files": "ink"},
        "ApplyHypernetwork@1": {"hypernetwork": "ink"},
    }
    for folder in ("loras", "embeddings", "hypernetworks"):
        small(home / "models" / folder, "words.safetensors", words)
        small(home / "models" / folder, "ink.safetensors", text_lora())
    for node_type, values in inputs.items():
        made = graph()
        links = {"model": From("model", "model"), "encoder": From("model", "encoder")}
        name = node_type.partition("@")[0]
        known = session.registry.types[name].inputs
        bindings: dict[str, Binding] = {key: link for key, link in links.items() if key in known}
        made.nodes["wrong"] = Entry(node_type, bindings | {key: Literal(v) for key, v in values.items()})
        made.outputs = {"out": From("wrong", next(iter(session.registry.types[name].outputs)))}
        with pytest.raises(GraphError) as refused:
            session.run(made)
        (found,) = refused.value.problems
        assert (found.code, found.place) == ("wrong_kind", f"wrong.{next(iter(values))}"), node_type


def test_the_command_line_ends_alike_for_either_mistake(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small(home / "models" / "loras", "words.safetensors", {"emb_params": rand(1, 2, 64)})
    small(home / "models" / "embeddings", "ink.safetensors", text_lora())
    inputs: dict[str, dict[str, Any]] = {
        "ApplyLoRA@1": {"model": {"from": "model.model"}, "lora": "words"},
        "LoadEmbeddings@1": {"files": "ink"},
    }
    ends = []
    for node_type, values in inputs.items():
        nodes = {
            "model": {"type": "LoadModel@1", "inputs": {}},
            "wrong": {"type": node_type, "inputs": {"encoder": {"from": "model.encoder"}, **values}},
        }
        output = "encoder" if node_type == "ApplyLoRA@1" else "out"
        tree = {"safelight": 1, "outputs": {"out": {"from": f"wrong.{output}"}}, "nodes": nodes}
        (tmp_path / "graph.json").write_text(json.dumps(tree))
        code = main(["run", str(tmp_path / "graph.json"), "--home", str(home), "--json"])
        (problem,) = json.loads(capsys.readouterr().out)["problems"]
        ends.append((code, problem["code"], problem["severity"], problem["hint"] is None))
    assert ends[0] == ends[1] == (2, "wrong_kind", "error", False)


def test_a_name_is_found_without_its_suffix_and_told_apart_by_its_folder(
    session: Session, loras: Path
) -> None:
    small(loras / "inks", "black.safetensors", text_lora())
    stem, path = (drawn(session, graph({"lora": name})) for name in ("black", "inks/black.safetensors"))
    assert np.array_equal(stem, path)
    small(loras / "pens", "black.safetensors", text_lora(50))
    with pytest.raises(GraphError, match=r"inks/black.*pens/black"):
        session.run(graph({"lora": "black"}))
    small(loras, "v2-final.safetensors", text_lora(), {"ss_output_name": "inky"})
    assert np.array_equal(drawn(session, graph({"lora": "inky"})), stem)
    with pytest.raises(GraphError, match="there is no 'gone' in the folders for loras"):
        session.run(graph({"lora": "gone"}))


def test_a_name_is_found_in_a_folder_that_is_a_link_as_the_list_of_files_finds_it(
    session: Session, loras: Path, tmp_path: Path
) -> None:
    small(tmp_path / "Lora", "black.safetensors", text_lora())
    loras.mkdir(parents=True)
    (loras / "a1111").symlink_to(tmp_path / "Lora")
    (loras / "loop").symlink_to(loras)
    assert [row.file for row in model_files.listed(session.files, "lora")] == ["a1111/black.safetensors"]
    listed, linked = (drawn(session, graph({"lora": name})) for name in ("a1111/black.safetensors", "black"))
    assert np.array_equal(listed, linked)


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"more": [{"lora": "x", "weight": 99}]}, "LoRA 1: weight"),
        ({"more": [{"weight": 0.5}]}, "LoRA 1: lora"),
        ({"more": [{"lora": "x"}, {"lora": "y", "strength": 0.5}]}, "LoRA 2: strength"),
        ({"more": [{"lora": "x", "blocks": "1,2"}]}, "17 or 26"),
        ({"blocks": "one"}, "OUTALL"),
        ({"blocks": "1,one"}, "block weight 2"),
    ],
)
def test_a_stack_that_is_none_is_told_before_anything_runs(
    session: Session, inputs: dict[str, Any], told: str
) -> None:
    ((name, value),) = inputs.items()
    (found,) = session.check(graph(inputs)).problems
    assert found.place == f"lora0.{name}"
    assert told in found.message
    with pytest.raises(ValueError, match=told):
        ApplyLoRA.node_type.inputs[name].adapter.validate_python(value)


def test_a_file_that_changes_is_seen_by_the_next_run(session: Session, loras: Path) -> None:
    made = graph({"lora": "both.safetensors", "weight": 1.0})
    small(loras, "both.safetensors", text_lora())
    first = drawn(session, made)
    small(loras, "both.safetensors", text_lora(77))
    second = drawn(session, made)
    assert not np.array_equal(first, second)
    small(loras, "both.safetensors", text_lora())
    assert np.array_equal(drawn(session, made), first)


def test_block_weights_act_where_they_say(session: Session, loras: Path) -> None:
    name = small(loras, "both.safetensors", text_lora())
    found = checkpoint(session.files, EMBEDDED)
    source_ = PatchFile(LORAS, session.files.digest(loras / name), name)
    residency = Residency(1 << 30)
    kept = residency.use(Model(found), COMPUTE, session.files).get_submodule(ATTENTION).weight
    for place, acts in ((1, True), (2, False)):  # IN01 holds that attention, IN02 does not
        blocks = tuple(float(number == place) for number in range(17))
        network = residency.use(Model(found, (Patch(source_, 1.0, blocks),)), COMPUTE, session.files)
        assert torch.equal(network.get_submodule(ATTENTION).weight, kept) is not acts


def test_an_embedding_that_came_along_is_a_trigger(session: Session, loras: Path) -> None:
    from nodes.sd.models.folder import describe_folder
    from nodes.sd.models.tokenizer import load_tokenizer
    from nodes.sd.models.weights import load_text_encoder
    from tests.nodes.sd.tiny.parts import WEIGHTS

    folder = describe_folder(WEIGHTS)
    (token,) = load_tokenizer(folder)("red", add_special_tokens=False).input_ids
    vector = load_text_encoder(folder).embeddings.token_embedding.weight[token].clone()
    small(loras, "with.safetensors", {**text_lora(), "bundle_emb.zzred tone.string_to_param.*": vector[None]})
    small(loras, "without.safetensors", text_lora())
    meant = drawn(session, graph({"lora": "with"}), "a zzred tone circle on a yellow background")
    wanted = drawn(session, graph({"lora": "without"}), "a red circle on a yellow background")
    assert np.array_equal(meant, wanted)


def test_vectors_that_cannot_be_applied_are_told_of(session: Session, loras: Path) -> None:
    """OneTrainer may train what the encoder says; what it reads is all zeros then."""
    for word, vectors in (("gone", torch.zeros(1, 64)), ("kept", rand(3, 1, 64))):
        bundle = {f"bundle_emb.zz{word}.clip_l": vectors, f"bundle_emb.zz{word}.clip_l_out": rand(4, 1, 64)}
        small(loras, f"{word}.safetensors", {**text_lora(), **bundle})
        events: list[Event] = []
        applied = drawn(session, graph({"lora": word}), f"a zz{word} circle", told=events)
        (told,) = warnings(events)
        assert "zz" + word in told
        assert "clip_l_out" in told
        assert ("is ignored" in told) is (word == "gone")
        small(loras, "plain.safetensors", text_lora())
        without = drawn(session, graph({"lora": "plain"}), f"a zz{word} circle")
        assert np.array_equal(applied, without) is (word == "gone")


def test_two_models_share_one_reading_of_a_lora(
    session: Session, loras: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nodes.sd.lora import file

    name = small(loras, "both.safetensors", text_lora())
    found = checkpoint(session.files, EMBEDDED)
    source_ = PatchFile(LORAS, session.files.digest(loras / name), name)
    reads: list[Path] = []
    read: Callable[[Path], Any] = file.read

    def counted(path: Path) -> Any:
        reads.append(path)
        return read(path)

    monkeypatch.setattr(file, "read", counted)
    for recipe in (Model(found, (Patch(source_, 1.0),)), TextEncoder(found, (Patch(source_, 0.2),))):
        session.residency.use(recipe, COMPUTE, session.files)
    assert len(reads) == 1


def test_the_shipped_lora_is_small_and_says_what_it_is() -> None:
    from nodes.sd.lora.describe import describe, shapes_of

    tensors = load_file(RECOLOUR)
    assert RECOLOUR.stat().st_size < 200_000
    told = describe(shapes_of(tensors), {"ss_output_name": "red-to-blue", "modelspec.trigger_phrase": "red"})
    assert told["kinds"] == ["lora"]
    assert (told["modules"], told["ranks"], told["parts"]) == (32, [8], ["unet"])
    assert told["triggers"] == ["red"]


def test_lora_metadata_is_shown(session: Session, loras: Path) -> None:
    tags = json.dumps({"10_ink": {"line": 4, "pen": 9}})
    told = {"ss_output_name": "inky", "modelspec.trigger_phrase": "ink style", "ss_tag_frequency": tags}
    told["ss_base_model_version"] = "sd_v1"
    small(loras, "ink.safetensors", {**text_lora(), "odd": torch.zeros(1)}, told)
    graph_ = Graph(
        nodes={"told": Entry("DescribeLoRA@1", {"lora": Literal("inky")})},
        outputs={"table": From("told", "out")},
    )
    packed = session.run(graph_).outputs["table"]
    assert packed.meta == {
        "name": "inky",
        "base": "sd1",
        "kinds": ["lora"],
        "modules": 2,
        "ranks": [4],
        "parts": ["unet", "text_encoder"],
        "triggers": ["ink style"],
        "tags": {"pen": 9, "line": 4},
        "embeddings": [],
        "unknown": 1,
    }
    small(loras, "none.safetensors", {"odd": torch.zeros(1, 1, 1), "old": torch.zeros(1, 1, 1)})
    with pytest.raises(NodeError, match=r"none\.safetensors"):
        run_node(session, DescribeLoRA(lora="none.safetensors"))
