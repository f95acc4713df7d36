"""Criteria and export formats by name: a visible table that imports nothing heavy.

A criterion is added by writing `criteria/<name>.py` and one row here. The row makes it appear in the
job schema, in `GET /v1/criteria`, in the command's help and in the contract tests. In the same way an export
format is `export/<name>.py` and one row.

Another package adds a criterion with an entry point in the group `ridurre.criteria`: `name = "module:Class"`. It is
listed by what that package's metadata says, and imported when it is used, so that a broken one harms nobody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata


@dataclass(frozen=True)
class CriterionEntry:
    """One selectable criterion.

    Attributes:
        name: What a caller writes in `PruningSpec.criterion`.
        path: `module:Class`, imported only when used.
        summary: One line for people.
        source: The paper it comes from.
        needs_data: Whether it cannot be computed from the weights alone.
        ranks: Whether it has a number for each channel, which a global ranking needs; else it chooses sets.
    """

    name: str
    path: str
    summary: str
    source: str
    needs_data: bool = False
    ranks: bool = True


BUILT_IN: dict[str, CriterionEntry] = {
    entry.name: entry
    for entry in (
        CriterionEntry(
            name="random",
            path="pruning.criteria.random:Random",
            summary="Remove random channels, as a baseline.",
            source="Mittal et al. 2018, arXiv:1801.10447",
        ),
        CriterionEntry(
            name="kmeans",
            path="pruning.criteria.kmeans:KMeansFilters",
            summary="Cluster the filters and keep the filter nearest each centroid.",
            source="k-means over filters, scikit-learn's KMeans",
            ranks=False,
        ),
        CriterionEntry(
            name="l1_norm",
            path="pruning.criteria.l1_norm:L1Norm",
            summary="Keep the channels whose filters have the largest sum of absolute weights.",
            source="Li et al. 2017, arXiv:1608.08710",
        ),
        CriterionEntry(
            name="l2_norm",
            path="pruning.criteria.l2_norm:L2Norm",
            summary="Keep the channels whose filters have the largest Euclidean norm.",
            source="Li et al. 2017, arXiv:1608.08710",
        ),
        CriterionEntry(
            name="folded_norm",
            path="pruning.criteria.folded_norm:FoldedNorm",
            summary="Keep the channels whose filters, with their BatchNormalization folded in, have the largest norm.",
            source="Li et al. 2017, arXiv:1608.08710, on filters folded as in Jacob et al. 2018, arXiv:1712.05877",
        ),
        CriterionEntry(
            name="coupled_norm",
            path="pruning.criteria.coupled_norm:CoupledNorm",
            summary="Keep the channels with the largest weights, both those that make and those that read them.",
            source="Fang et al. 2023, arXiv:2301.12900",
        ),
        CriterionEntry(
            name="geometric_median",
            path="pruning.criteria.geometric_median:GeometricMedian",
            summary="Remove the channels whose filters are nearest to the geometric median of all filters.",
            source="He et al. 2019, arXiv:1811.00250",
        ),
        CriterionEntry(
            name="similar_filters",
            path="pruning.criteria.similar_filters:SimilarFilters",
            summary="Repeatedly remove one of the two most similar filters.",
            source="Li et al. 2018, Filter Level Pruning Based on Similar Feature Extraction",
        ),
        CriterionEntry(
            name="batchnorm_scale",
            path="pruning.criteria.batchnorm_scale:BatchNormScale",
            summary="Keep the channels that BatchNormalization scales up most (network slimming).",
            source="Liu et al. 2017, arXiv:1708.06519",
        ),
        CriterionEntry(
            name="lamp",
            path="pruning.criteria.lamp:Lamp",
            summary="Keep the channels with a large share of their layer's weight; designed for scope global.",
            source="Lee et al. 2021, arXiv:2010.07611",
        ),
        CriterionEntry(
            name="taylor",
            path="pruning.criteria.taylor:Taylor",
            summary="Keep the channels whose removal would change the loss most, to first order.",
            source="Molchanov et al. 2019, arXiv:1906.10771",
            needs_data=True,
        ),
        CriterionEntry(
            name="jacobian",
            path="pruning.criteria.jacobian:Jacobian",
            summary="Keep the channels whose weights, layer by layer, change the loss most to first order.",
            source="Chen et al. 2025, arXiv:2508.05521",
            needs_data=True,
        ),
        CriterionEntry(
            name="mean_activation",
            path="pruning.criteria.mean_activation:MeanActivation",
            summary="Keep the channels whose activations are largest on average.",
            source="Molchanov et al. 2017, arXiv:1611.06440",
            needs_data=True,
        ),
        CriterionEntry(
            name="apoz",
            path="pruning.criteria.apoz:APoZ",
            summary="Remove the channels whose activations are most often zero.",
            source="Hu et al. 2016, arXiv:1607.03250",
            needs_data=True,
        ),
        CriterionEntry(
            name="hrank",
            path="pruning.criteria.hrank:HRank",
            summary="Keep the channels whose feature maps have the highest rank on average.",
            source="Lin et al. 2020, arXiv:2002.10179",
            needs_data=True,
        ),
        CriterionEntry(
            name="reconstruction",
            path="pruning.criteria.reconstruction:ReconstructionCost",
            summary="Remove one by one the channels that the others can best compensate.",
            source="Meng et al. 2024, arXiv:2403.12983",
            needs_data=True,
        ),
        CriterionEntry(
            name="oracle",
            path="pruning.criteria.oracle:Oracle",
            summary="Remove the channels whose removal increases the loss least, measured for each channel.",
            source="Molchanov et al. 2017, arXiv:1611.06440",
            needs_data=True,
        ),
        CriterionEntry(
            name="oracle_racing",
            path="pruning.criteria.oracle_racing:OracleRacing",
            summary="Nearly always keep the channels of oracle, but test each only until its place is almost certain.",
            source="Maron & Moore 1994, Hoeffding Races, NIPS 6; Molchanov et al. 2017, arXiv:1611.06440",
            needs_data=True,
            ranks=False,
        ),
    )
}


def _installed() -> dict[str, CriterionEntry]:
    return {
        point.name: CriterionEntry(
            name=point.name,
            path=point.value,
            summary="From an installed package.",
            source=f"package {point.dist.name} {point.dist.version}" if point.dist else point.module,
        )
        for point in metadata.entry_points(group="ridurre.criteria")
    }


CRITERIA: dict[str, CriterionEntry] = BUILT_IN | {
    name: entry for name, entry in _installed().items() if name not in BUILT_IN
}
"""All names that can be chosen; an installed criterion cannot take the name of one that is built in."""

AUTO = "auto"
"""Chooses a criterion by what there is to choose by; docs/criteria.md says why these."""


def resolved(criterion: str, *, has_data: bool, has_targets: bool) -> str:
    """Return the name of a criterion in the catalog: with `AUTO`, the one that suits what there is."""
    if criterion != AUTO:
        return criterion
    if has_targets:
        return "coupled_norm"
    return "reconstruction" if has_data else "l2_norm"


@dataclass(frozen=True)
class ExportFormatEntry:
    """One file format that a model can be written in.

    Attributes:
        name: What a caller writes.
        path: `module:Class`, imported only when used.
        summary: One line for people.
        suffix: How the name of its file has to end; empty for a folder.
        precisions: Number formats of its weights; the first is the default.
        modules: Modules that have to be installed to write it and run it.
        extra: Extra of this package that installs them.
        backends: Backends of Keras that can write it; empty for all.
    """

    name: str
    path: str
    summary: str
    suffix: str
    precisions: tuple[str, ...] = ("float32",)
    modules: tuple[str, ...] = ()
    extra: str = "export"
    backends: tuple[str, ...] = ()


EXPORT_FORMATS: dict[str, ExportFormatEntry] = {
    entry.name: entry
    for entry in (
        ExportFormatEntry(
            name="keras",
            path="pruning.export.keras_archive:KerasArchive",
            summary="The Keras archive, with everything needed to continue training.",
            suffix=".keras",
        ),
        ExportFormatEntry(
            name="saved_model",
            path="pruning.export.saved_model:SavedModel",
            summary="A folder for TensorFlow Serving and other TensorFlow tools.",
            suffix="",
            modules=("tensorflow",),
            extra="cpu",
            backends=("tensorflow",),
        ),
        ExportFormatEntry(
            name="litert",
            path="pruning.export.litert:LiteRT",
            summary="LiteRT (TensorFlow Lite), for phones and embedded devices; also in float16 and int8.",
            suffix=".tflite",
            precisions=("float32", "float16", "int8"),
            modules=("ai_edge_litert",),
            backends=("tensorflow",),
        ),
        ExportFormatEntry(
            name="onnx",
            path="pruning.export.onnx:Onnx",
            summary="ONNX, for ONNX Runtime and others.",
            suffix=".onnx",
            modules=("onnx", "onnxruntime", "tf2onnx"),
            backends=("tensorflow",),
        ),
        ExportFormatEntry(
            name="openvino",
            path="pruning.export.openvino:OpenVino",
            summary="OpenVINO, an .xml file with a .bin file, for Intel processors.",
            suffix=".xml",
            modules=("openvino",),
            extra="openvino",
            backends=("tensorflow",),
        ),
    )
}
