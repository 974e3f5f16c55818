"""Safelight's built-in nodes: what an artist wires together."""

from nodes import model_files
from nodes.choose import If, Switch
from nodes.decode import Decode, Encode
from nodes.denoise import Denoise
from nodes.embeddings import LoadEmbeddings, OpenEmbedding, SaveEmbedding
from nodes.grid import Grid
from nodes.hypernetwork import ApplyHypernetwork
from nodes.image import LoadImage, ResizeImage, SaveImage
from nodes.importing import import_graph
from nodes.latent import EmptyLatent
from nodes.lists import Label, Lines, Numbers, Seeds
from nodes.load import LoadModel
from nodes.lora import ApplyLoRA, DescribeLoRA
from nodes.metadata import annotate
from nodes.prompt import EncodePrompt
from nodes.prompt_tags import ApplyTags
from nodes.save_model import SaveModel

__all__ = [
    "ApplyHypernetwork",
    "ApplyLoRA",
    "ApplyTags",
    "Decode",
    "Denoise",
    "DescribeLoRA",
    "EmptyLatent",
    "Encode",
    "EncodePrompt",
    "Grid",
    "If",
    "Label",
    "Lines",
    "LoadEmbeddings",
    "LoadImage",
    "LoadModel",
    "Numbers",
    "OpenEmbedding",
    "ResizeImage",
    "SaveEmbedding",
    "SaveImage",
    "SaveModel",
    "Seeds",
    "Switch",
    "annotate",
    "import_graph",
    "model_files",
]
