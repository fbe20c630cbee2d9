"""The figures that PyTorch published for eager-mode quantization: the two tables of its introduction, as data.

Source of all figures: Krishnamoorthi, Reed, Ni, Gottbrath and Weidman, "Introduction to Quantization on PyTorch",
PyTorch blog, 26 March 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.recipe import Mode

SOURCE = "Introduction to Quantization on PyTorch, 2020"
SOURCE_URL = "https://pytorch.org/blog/introduction-to-quantization-on-pytorch/"
#: Tokens in a sequence of the published BERT latency.
BERT_TOKENS = 128

Table = Literal["latency", "accuracy"]
TABLES: tuple[Table, ...] = ("latency", "accuracy")


class PublishedRow(msgspec.Struct, frozen=True):
    """One row of a published table.

    Attributes:
        table: `latency` or `accuracy`.
        name: How the command line names it: torchvision's name of the model, or `bert`.
        title: How it was published.
        mode: How it was quantized.
        float_value: Of the float model: milliseconds, or a share between 0 and 1 (top-1 accuracy or F1).
        int8_value: Of the quantized model.
        speedup: As published, rounded there; None in the accuracy table.
        device: The processor it was measured on; empty in the accuracy table.
        note: What was said beside it.
    """

    table: Table
    name: str
    title: str
    mode: Mode
    float_value: float
    int8_value: float
    speedup: float | None = None
    device: str = ""
    note: str = ""

    @property
    def key(self) -> str:
        """Name among all rows of both tables."""
        return f"{self.table}/{self.name}"

    @property
    def is_text(self) -> bool:
        """Whether it is BERT: the others take images."""
        return self.name == "bert"


def _accuracy(name: str, title: str, mode: Mode, float_value: float, int8_value: float) -> PublishedRow:
    note = say("F1 on GLUE MRPC") if name == "bert" else say("top-1 on ImageNet")
    return PublishedRow("accuracy", name, title, mode, float_value, int8_value, note=note)


_XEON = "Xeon D-2191, 1.6 GHz"
ROWS: tuple[PublishedRow, ...] = (
    PublishedRow(
        "latency", "bert", "BERT", Mode.DYNAMIC, 581.0, 313.0, 1.8, _XEON, say("batch 1, 128 tokens, one thread")
    ),
    PublishedRow("latency", "resnet50", "ResNet-50", Mode.STATIC, 214.0, 103.0, 2.0, _XEON, say("batch 1, one thread")),
    PublishedRow(
        "latency", "mobilenet_v2", "MobileNet-v2", Mode.STATIC, 97.0, 17.0, 5.7, "Samsung S9",
        say("the float figure is of the Caffe2 runtime and not optimized"),
    ),
    _accuracy("googlenet", "GoogLeNet", Mode.STATIC, 0.698, 0.697),
    _accuracy("inception_v3", "Inception-v3", Mode.STATIC, 0.775, 0.771),
    _accuracy("resnet18", "ResNet-18", Mode.STATIC, 0.698, 0.694),
    _accuracy("resnet50", "ResNet-50", Mode.STATIC, 0.761, 0.759),
    _accuracy("resnext101_32x8d", "ResNeXt-101 32x8d", Mode.STATIC, 0.793, 0.79),
    _accuracy("mobilenet_v2", "MobileNet-v2", Mode.QAT, 0.719, 0.716),
    _accuracy("shufflenet_v2_x1_0", "ShuffleNet-v2", Mode.STATIC, 0.694, 0.684),
    _accuracy("bert", "BERT", Mode.DYNAMIC, 0.902, 0.895),
)  # fmt: skip


def rows_of(tables: Sequence[str], names: Sequence[str] = ()) -> tuple[PublishedRow, ...]:
    """Return published rows in their order.

    Args:
        tables: From which tables.
        names: Which rows; empty for all.

    Raises:
        QguiError: A name is in none of the tables.
    """
    rows = tuple(row for row in ROWS if row.table in tables)
    known = list(dict.fromkeys(row.name for row in rows))
    unknown = [name for name in names if name not in known]
    if unknown:
        what = say("Could not run the benchmark '{unknown}'", unknown=unknown[0])
        raise QguiError(
            what,
            say("the {tables} table has no such row", tables=say(" and ").join(tables)),
            say("Choose from {known}.", known=", ".join(known)),
        )
    return tuple(row for row in rows if not names or row.name in names)


def row_of(key: str) -> PublishedRow:
    """Return the row of a key such as `latency/resnet50`.

    Raises:
        QguiError: There is none.
    """
    for row in ROWS:
        if row.key == key:
            return row
    raise QguiError(
        say("Could not run the benchmark"),
        say("there is no row {key}", key=key),
        say("Choose one of the published rows."),
    )
