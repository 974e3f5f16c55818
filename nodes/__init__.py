"""Safelight's built-in nodes."""

from pathlib import Path

from nodes.choose import If, Switch
from nodes.dataset.augment_dataset import AugmentDataset
from nodes.dataset.caption import Caption, LoadCaptioner
from nodes.dataset.captions import EditCaptions, SetCaptions
from nodes.dataset.check_dataset import CheckDataset
from nodes.dataset.class_pictures import DrawClassPictures
from nodes.dataset.dataset_parts import EachPicture, GatherPictures, JoinDatasets
from nodes.dataset.load_dataset import LoadDataset
from nodes.dataset.preprocess import Preprocess
from nodes.dataset.save_dataset import SaveDataset
from nodes.dataset.split_dataset import SplitDataset
from nodes.files import model_files
from nodes.hooks.advice import advise
from nodes.hooks.estimate import estimate
from nodes.hooks.prompt_lengths import measure
from nodes.hooks.warm_up import warm_up
from nodes.image.crop import CropImage, CropMask
from nodes.image.effects import Blend, BlurImage, Composite, InvertImage, Levels, SolidImage
from nodes.image.grid import Grid
from nodes.image.lists import BatchToList, JoinImages, ListToBatch
from nodes.image.load_image import ListImages, LoadImage, LoadImageFolder, LoadMask
from nodes.image.mask import (
    CombineMasks,
    FadeMaskEdges,
    GrowMask,
    ImageToMask,
    InvertMask,
    MaskFromColor,
    MaskFromLuminance,
    MaskToImage,
    ResizeMask,
    SolidMask,
    ThresholdMask,
)
from nodes.image.save_image import SaveImage, SaveImages
from nodes.image.size import FlipImage, PadImage, ResizeImage, RotateImage, ScaleImage
from nodes.image.upscale import LoadUpscaler, UpscaleImage
from nodes.interchange import describe_for, import_graph
from nodes.interchange.a1111.write_parameters import annotate
from nodes.latent.decode import Decode, Encode
from nodes.latent.inpaint import CropAroundMask, EncodeForInpainting
from nodes.latent.latents import (
    CompositeLatent,
    CropLatent,
    EmptyLatent,
    FlipLatent,
    JoinLatents,
    LatentFromBatch,
    MaskLatent,
    RepeatLatent,
    ResizeLatent,
    RotateLatent,
    ScaleLatent,
)
from nodes.lists import Label, Lines, Numbers, Seeds
from nodes.model.describe import DescribeEmbeddings, DescribeLoRA
from nodes.model.embeddings import LoadEmbeddings, OpenEmbedding, SaveEmbedding
from nodes.model.extract_lora import ExtractLoRA
from nodes.model.hypernetwork import ApplyHypernetwork
from nodes.model.load import LoadModel, LoadTextEncoder, LoadUnet, LoadVae
from nodes.model.lora import ApplyLoRA
from nodes.model.merge import MergeModels, MergeTextEncoders, MergeVaes
from nodes.model.save_hypernetwork import SaveHypernetwork
from nodes.model.save_lora import SaveLoRA
from nodes.model.save_model import SaveModel
from nodes.prompt.conditioning import (
    AveragePrompts,
    CombinePrompts,
    JoinPrompts,
    LimitToArea,
    LimitToMask,
    LimitToSteps,
    ZeroPrompt,
)
from nodes.prompt.controlnet import ApplyControlNet, ApplyControlNetToPrompt, LoadControlNet
from nodes.prompt.distilled_guidance import SetDistilledGuidance
from nodes.prompt.dynamic_prompt import ApplyStyles, DynamicPrompt
from nodes.prompt.encode_prompt import EncodePrompt
from nodes.prompt.load_text import LoadText
from nodes.prompt.prompt_tags import ApplyTags
from nodes.prompt.replace_text import ReplaceText
from nodes.prompt.size_hints import SetSizeHints
from nodes.sampling.denoise import Denoise
from nodes.sampling.flow_shift import SetShift
from nodes.training.train_hypernetwork import TrainHypernetwork
from nodes.training.train_lora import TrainLoRA
from nodes.training.train_model import TrainModel
from nodes.training.train_pivotal import TrainPivotal
from nodes.training.train_ti import TrainTI

__all__ = [
    "ApplyControlNet",
    "ApplyControlNetToPrompt",
    "ApplyHypernetwork",
    "ApplyLoRA",
    "ApplyStyles",
    "ApplyTags",
    "AugmentDataset",
    "AveragePrompts",
    "BatchToList",
    "Blend",
    "BlurImage",
    "Caption",
    "CheckDataset",
    "CombineMasks",
    "CombinePrompts",
    "Composite",
    "CompositeLatent",
    "CropAroundMask",
    "CropImage",
    "CropLatent",
    "CropMask",
    "Decode",
    "Denoise",
    "DescribeEmbeddings",
    "DescribeLoRA",
    "DrawClassPictures",
    "DynamicPrompt",
    "EachPicture",
    "EditCaptions",
    "EmptyLatent",
    "Encode",
    "EncodeForInpainting",
    "EncodePrompt",
    "ExtractLoRA",
    "FadeMaskEdges",
    "FlipImage",
    "FlipLatent",
    "GatherPictures",
    "Grid",
    "GrowMask",
    "If",
    "ImageToMask",
    "InvertImage",
    "InvertMask",
    "JoinDatasets",
    "JoinImages",
    "JoinLatents",
    "JoinPrompts",
    "Label",
    "LatentFromBatch",
    "Levels",
    "LimitToArea",
    "LimitToMask",
    "LimitToSteps",
    "Lines",
    "ListImages",
    "ListToBatch",
    "LoadCaptioner",
    "LoadControlNet",
    "LoadDataset",
    "LoadEmbeddings",
    "LoadImage",
    "LoadImageFolder",
    "LoadMask",
    "LoadModel",
    "LoadText",
    "LoadTextEncoder",
    "LoadUnet",
    "LoadUpscaler",
    "LoadVae",
    "MaskFromColor",
    "MaskFromLuminance",
    "MaskLatent",
    "MaskToImage",
    "MergeModels",
    "MergeTextEncoders",
    "MergeVaes",
    "Numbers",
    "OpenEmbedding",
    "PadImage",
    "Preprocess",
    "RepeatLatent",
    "ReplaceText",
    "ResizeImage",
    "ResizeLatent",
    "ResizeMask",
    "RotateImage",
    "RotateLatent",
    "SaveDataset",
    "SaveEmbedding",
    "SaveHypernetwork",
    "SaveImage",
    "SaveImages",
    "SaveLoRA",
    "SaveModel",
    "ScaleImage",
    "ScaleLatent",
    "Seeds",
    "SetCaptions",
    "SetDistilledGuidance",
    "SetShift",
    "SetSizeHints",
    "SolidImage",
    "SolidMask",
    "SplitDataset",
    "Switch",
    "ThresholdMask",
    "TrainHypernetwork",
    "TrainLoRA",
    "TrainModel",
    "TrainPivotal",
    "TrainTI",
    "UpscaleImage",
    "ZeroPrompt",
    "advise",
    "annotate",
    "describe_for",
    "estimate",
    "examples",
    "import_graph",
    "measure",
    "model_files",
    "warm_up",
]

_PACKAGE = Path(__file__).parent

examples = folder if (folder := _PACKAGE / "graphs").is_dir() else _PACKAGE.parent / "graphs"
"""The folder of the example graphs: inside this package in an installed wheel, beside it in a source tree."""
