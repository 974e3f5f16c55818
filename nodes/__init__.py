"""Safelight's built-in nodes."""

from pathlib import Path

from nodes.advice import advise
from nodes.augment_dataset import AugmentDataset
from nodes.caption import Caption, LoadCaptioner
from nodes.captions import EditCaptions, SetCaptions
from nodes.check_dataset import CheckDataset
from nodes.choose import If, Switch
from nodes.class_pictures import DrawClassPictures
from nodes.conditioning import (
    AveragePrompts,
    CombinePrompts,
    JoinPrompts,
    LimitToArea,
    LimitToMask,
    LimitToSteps,
    ZeroPrompt,
)
from nodes.controlnet import ApplyControlNet, ApplyControlNetToPrompt, LoadControlNet
from nodes.crop import CropImage, CropMask
from nodes.dataset_parts import EachPicture, GatherPictures, JoinDatasets
from nodes.decode import Decode, Encode
from nodes.denoise import Denoise
from nodes.describe import DescribeEmbeddings, DescribeLoRA
from nodes.dynamic_prompt import ApplyStyles, DynamicPrompt
from nodes.embeddings import LoadEmbeddings, OpenEmbedding, SaveEmbedding
from nodes.estimate import estimate
from nodes.extract_lora import ExtractLoRA
from nodes.files import model_files
from nodes.flow_shift import SetShift
from nodes.grid import Grid
from nodes.hypernetwork import ApplyHypernetwork
from nodes.image_effects import Blend, BlurImage, Composite, InvertImage, Levels, SolidImage
from nodes.image_lists import BatchToList, JoinImages, ListToBatch
from nodes.image_size import FlipImage, PadImage, ResizeImage, RotateImage, ScaleImage
from nodes.inpaint import CropAroundMask, EncodeForInpainting
from nodes.interchange import describe_for, import_graph
from nodes.interchange.a1111.write_parameters import annotate
from nodes.latent import (
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
from nodes.load import LoadModel, LoadTextEncoder, LoadUnet, LoadVae
from nodes.load_dataset import LoadDataset
from nodes.load_image import ListImages, LoadImage, LoadImageFolder, LoadMask
from nodes.load_text import LoadText
from nodes.lora import ApplyLoRA
from nodes.mask import (
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
from nodes.merge import MergeModels, MergeTextEncoders, MergeVaes
from nodes.preprocess import Preprocess
from nodes.prompt import EncodePrompt
from nodes.prompt_lengths import measure
from nodes.prompt_tags import ApplyTags
from nodes.save_dataset import SaveDataset
from nodes.save_hypernetwork import SaveHypernetwork
from nodes.save_image import SaveImage, SaveImages
from nodes.save_lora import SaveLoRA
from nodes.save_model import SaveModel
from nodes.size_hints import SetSizeHints
from nodes.split_dataset import SplitDataset
from nodes.train_hypernetwork import TrainHypernetwork
from nodes.train_lora import TrainLoRA
from nodes.train_model import TrainModel
from nodes.train_pivotal import TrainPivotal
from nodes.train_ti import TrainTI
from nodes.upscale import LoadUpscaler, UpscaleImage
from nodes.warm_up import warm_up

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
