"""The metadata of LoRA files that A1111, ComfyUI and InvokeAI show: kohya's `ss_*`, and `modelspec.*`."""

from __future__ import annotations

from nodes.files.checkpoints import Checkpoint
from nodes.sd.families.known import family_named


def lora_metadata(name: str, checkpoint: Checkpoint, module: str, rank: int, alpha: float) -> dict[str, str]:
    """Make the metadata that LoRA files of all kinds have.

    Args:
        name: the name of the LoRA.
        checkpoint: the model that the LoRA was made for.
        module: the Python module of kohya or LyCORIS that reads the file, such as `networks.lora`.
        rank: the rank of its layers.
        alpha: the alpha of its layers.
    """
    architecture, base = family_named(checkpoint.family).lora_names
    predictions = {"epsilon": "epsilon", "v_prediction": "v"}
    prediction = predictions.get(checkpoint.prediction)
    return {
        "ss_output_name": name,
        "ss_network_module": module,
        "ss_network_dim": str(rank),
        "ss_network_alpha": f"{alpha:g}",
        "ss_base_model_version": base,
        "ss_v2": str(base == "sd_v2"),
        "ss_sd_model_name": checkpoint.name,
        "ss_new_sd_model_hash": checkpoint.digest,
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": f"{architecture}/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.title": name,
        **({} if prediction is None else {"modelspec.prediction_type": prediction}),
    }
