"""EachPicture, GatherPictures and JoinDatasets: split a dataset into its pictures, and join datasets."""

from __future__ import annotations

from collections.abc import Mapping

from engine.context import Context
from engine.document.graph import Entry, From, Graph, Param
from engine.node import Node
from nodes.picture_sets.dataset import LeftOut
from nodes.values import Dataset


class EachPicture(Node, category="dataset"):
    """Split a dataset into a list of datasets of one picture each; the nodes after it run once per picture.

    Each picture is then cached on its own: when one changes, only its steps run again. GatherPictures joins
    the pictures to one dataset again.
    """

    dataset: Dataset

    def run(self, ctx: Context) -> list[Dataset]:
        return [Dataset((picture,)) for picture in self.dataset.pictures]


class GatherPictures(Node, category="dataset"):
    """Join a list of datasets to one, such as those that EachPicture made."""

    datasets: list[Dataset]

    def run(self, ctx: Context) -> Dataset:
        return _joined(self.datasets)


class JoinDatasets(Node, category="dataset"):
    """Join two datasets into one, such as those of two folders."""

    first: Dataset
    second: Dataset

    def run(self, ctx: Context) -> Dataset:
        return _joined([self.first, self.second])


def for_each_picture(node: Node) -> Graph:
    """Make a graph that runs a node once for each picture of its input `dataset`, and joins the results.

    The node must return a dataset. Its other inputs are the same for each picture.
    """
    name = type(node).node_type.name
    others: Mapping[str, Param] = {field: Param(field) for field in type(node).node_type.inputs}
    graph = Graph()
    graph.nodes["each"] = Entry("EachPicture", {"dataset": Param("dataset")})
    graph.nodes["picture"] = Entry(name, {**others, "dataset": From("each", "out")})
    graph.nodes["gather"] = Entry("GatherPictures", {"datasets": From("picture", "out")})
    graph.outputs["out"] = From("gather", "out")
    return graph


def without(ctx: Context, dataset: Dataset, reason: str) -> Dataset:
    """Remove the only picture of a dataset, because it cannot be used, and warn with the reason.

    The empty dataset that is returned lists the picture among those that are left out.
    """
    (picture,) = dataset.pictures
    ctx.warn(f"{picture.name} is left out: {reason}")
    return Dataset((), (*dataset.left_out, LeftOut(picture.name, reason)))


def _joined(datasets: list[Dataset]) -> Dataset:
    return Dataset(
        tuple(picture for dataset in datasets for picture in dataset.pictures),
        tuple(file for dataset in datasets for file in dataset.left_out),
    )
