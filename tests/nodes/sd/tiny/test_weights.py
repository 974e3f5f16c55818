"""The shipped folder is small, in float16, complete, and loads without a word."""

import io
import json
import warnings
import zipfile

import torch
from safetensors import safe_open

from tests.nodes.sd.tiny.parts import END, WEIGHTS, Parts, Vocabulary, new_scheduler, word_embedding

NETWORKS = {
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
    "unet": "diffusion_pytorch_model.safetensors",
}


def test_the_folder_fits_the_wheel() -> None:
    files = [file for file in WEIGHTS.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 22 * 2**20
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.relative_to(WEIGHTS))
    assert packed.tell() < 25e6
    assert {file.suffix for file in files} <= {".json", ".safetensors"}


def test_every_weight_is_a_finite_float16() -> None:
    count = 0
    for folder, name in NETWORKS.items():
        with safe_open(WEIGHTS / folder / name, "pt") as weights:
            for key in weights.keys():
                tensor = weights.get_tensor(key)
                assert tensor.dtype == torch.float16, key
                assert tensor.isfinite().all(), key
                count += tensor.numel()
    assert 8.5e6 < count < 9.5e6


def test_the_folder_has_the_form_that_training_builds() -> None:
    shipped, built = Parts.load(WEIGHTS), Parts.new(0)
    for network in NETWORKS:
        expected = {key: value.shape for key, value in getattr(built, network).state_dict().items()}
        assert {key: value.shape for key, value in getattr(shipped, network).state_dict().items()} == expected


def test_the_schedule_is_stable_diffusions_and_predicts_v() -> None:
    shipped = json.loads((WEIGHTS / "scheduler" / "scheduler_config.json").read_text())
    built = dict(new_scheduler().config)
    assert shipped["prediction_type"] == "v_prediction"
    assert {key: shipped[key] for key in built if key in shipped and not key.startswith("_")} == {
        key: value for key, value in built.items() if key in shipped and not key.startswith("_")
    }


def test_exported_settings_do_not_depend_on_the_machine() -> None:
    for file in WEIGHTS.rglob("*config.json"):
        assert not {"is_local", "local_files_only", "_name_or_path"} & set(json.loads(file.read_text())), file


def test_words_outside_the_captions_are_one_word() -> None:
    vocabulary = Vocabulary()
    table = word_embedding(Parts.load(WEIGHTS).text_encoder)
    outside = torch.ones(END + 1, dtype=torch.bool)
    outside[vocabulary.known] = False
    assert (table[outside] == table[vocabulary.unknown]).all()
    known = table[vocabulary.known]
    assert len({tuple(row.tolist()) for row in known}) == len(known)
    tokens = vocabulary.encode(["a lamp", "a tree", "a circle"])
    assert torch.equal(tokens[0], tokens[1])
    assert not torch.equal(tokens[0], tokens[2])


def test_diffusers_loads_the_folder_without_a_warning() -> None:
    from tests.nodes.sd.tiny.evaluate import load

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipeline = load(WEIGHTS)
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert pipeline.tokenizer.model_max_length == 77
