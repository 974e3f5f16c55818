"""Safelight's built-in nodes: what an artist wires together."""

from nodes import model_files
from nodes.decode import Decode, Encode
from nodes.denoise import Denoise
from nodes.embeddings import LoadEmbeddings, OpenEmbedding, SaveEmbedding
from nodes.hypernetwork import ApplyHypernetwork
from nodes.image import LoadImage, ResizeImage, SaveImage
from nodes.latent import EmptyLatent
from nodes.load import LoadModel
from nodes.lora import ApplyLoRA
from nodes.metadata import annotate
from nodes.prompt import EncodePrompt

__all__ = [
    "ApplyHypernetwork",
    "ApplyLoRA",
    "Decode",
    "Denoise",
    "EmptyLatent",
    "Encode",
    "EncodePrompt",
    "LoadEmbeddings",
    "LoadImage",
    "LoadModel",
    "OpenEmbedding",
    "ResizeImage",
    "SaveEmbedding",
    "SaveImage",
    "annotate",
    "model_files",
]
