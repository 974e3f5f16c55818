"""The convertible node types of ComfyUI, and their conversions."""

from __future__ import annotations

from engine.document.graph import Entry
from nodes.interchange.comfyui.conversion import LOADERS, ComfyConversion
from nodes.interchange.comfyui.custom_sampling import CUSTOM_SAMPLING_NODE_TYPES
from nodes.interchange.comfyui.encoded_prompt import encoded_prompt
from nodes.interchange.comfyui.graph_data import ComfyNode
from nodes.interchange.comfyui.image_nodes import IMAGE_NODE_TYPES
from nodes.interchange.comfyui.latent_nodes import LATENT_NODE_TYPES
from nodes.interchange.comfyui.merge_nodes import MERGE_NODE_TYPES
from nodes.interchange.comfyui.network_nodes import NETWORK_NODE_TYPES
from nodes.interchange.comfyui.node_type import NodeType
from nodes.interchange.comfyui.prompt_nodes import PROMPT_NODE_TYPES
from nodes.interchange.comfyui.sampling_nodes import SAMPLING_NODE_TYPES
from nodes.interchange.graph_from_settings import entry
from nodes.interchange.local_files import bare_name
from nodes.latent.decode import Decode, Encode
from nodes.latent.latents import EmptyLatent
from nodes.model.lora import ApplyLoRA


def _model(made: ComfyConversion, node: ComfyNode) -> Entry:
    return made.model(made.text(node, "ckpt_name"))


def _canvas(made: ComfyConversion, node: ComfyNode) -> Entry:
    width, height, batch = (made.bind(node, name) for name in ("width", "height", "batch_size"))
    return entry(EmptyLatent, width=width, height=height, batch=batch)


def _lora(made: ComfyConversion, node: ComfyNode) -> Entry:
    model_only = node.type == "LoraLoaderModelOnly"
    name = made.text(node, "lora_name")
    file = made.files.lora(name)
    return entry(
        ApplyLoRA,
        model=made.bind(node, "model"),
        encoder=made.encoder_of_model(node) if model_only else made.bind(node, "clip"),
        lora=bare_name(name) if file is None else file,
        weight=made.bind(node, "strength_model"),
        encoder_weight=0.0 if model_only else made.bind(node, "strength_clip"),
        on=False if file is None else None,
    )


def _decode(made: ComfyConversion, node: ComfyNode) -> Entry:
    vae, latent = made.bind(node, "vae"), made.bind(node, "samples")
    return entry(Decode, vae=vae, latent=latent, tiled=_is_tiled(node))


def _encode(made: ComfyConversion, node: ComfyNode) -> Entry:
    vae, image = made.bind(node, "vae"), made.bind(node, "pixels")
    return entry(Encode, vae=vae, image=image, tiled=_is_tiled(node))


def _is_tiled(node: ComfyNode) -> bool | None:
    return True if node.type.endswith("Tiled") else None


_LOADER = NodeType("model", _model, ("model", "encoder", "vae"))
_DECODER = NodeType("decode", _decode)
_ENCODER = NodeType("encode", _encode)

NODE_TYPES = {
    **IMAGE_NODE_TYPES,
    **LATENT_NODE_TYPES,
    **NETWORK_NODE_TYPES,
    **PROMPT_NODE_TYPES,
    **MERGE_NODE_TYPES,
    **SAMPLING_NODE_TYPES,
    **CUSTOM_SAMPLING_NODE_TYPES,
    **dict.fromkeys(LOADERS, _LOADER),
    "CLIPTextEncode": NodeType("prompt", encoded_prompt),
    "EmptyLatentImage": NodeType("canvas", _canvas),
    "EmptySD3LatentImage": NodeType("canvas", _canvas),
    "LoraLoader": NodeType("lora", _lora, ("model", "encoder")),
    "LoraLoaderModelOnly": NodeType("lora", _lora, ("model",)),
    "VAEDecode": _DECODER,
    "VAEDecodeTiled": _DECODER,
    "VAEEncode": _ENCODER,
    "VAEEncodeTiled": _ENCODER,
}
"""ComfyUI's node types with a counterpart. Other types become placeholders."""
