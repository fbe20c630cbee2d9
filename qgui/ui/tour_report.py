"""The report of a tour: one HTML file with the numbers and the pictures inside."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from qgui.core.recipe_file import write_atomically
from qgui.core.results import Comparison, ExportResult
from qgui.ui import formatting
from qgui.ui.comparison_rows import comparison_rows
from qgui.ui.document import Document

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1c2128; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .25rem .8rem; text-align: left; }
th { border-bottom: 2px solid #d5d9e0; } td { border-bottom: 1px solid #eceff3; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; border: 1px solid #d5d9e0; border-radius: 6px; margin: .5rem 0 1.5rem; }
.faint { color: #5b6472; }
"""


def write_report(path: Path, document: Document, pictures: Sequence[Path]) -> Path:
    """Write the report and return where it lies.

    Raises:
        QguiError: The file cannot be written.
    """
    comparison, model = document.comparison, document.model
    title = html.escape(model.title if model else "QGUI")
    parts = [f"<h1>{title}</h1>"]
    if comparison is not None and model is not None:
        parts += [
            f"<p class=faint>{html.escape(circumstances(document, comparison))}</p>",
            _table(
                ("", "Float", "Quantized", "Difference"),
                ((row.name, row.before, row.after, row.difference) for row in comparison_rows(comparison)),
            ),
            "".join(f"<p class=faint>{html.escape(note)}</p>" for note in comparison.notes),
        ]
    parts += ["<h2>Exported files</h2>", _exports(document.exports)] if document.exports else []
    for picture in pictures:
        encoded = base64.b64encode(picture.read_bytes()).decode()
        name = html.escape(picture.stem.partition("-")[2].replace("-", ": "))
        parts.append(f'<h2>{name}</h2><img alt="{name}" src="data:image/png;base64,{encoded}">')
    if comparison is not None:
        parts += ["<h2>Layers</h2>", _layers(comparison)]
    page = f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
    write_atomically(path, (page + "".join(parts) + "</html>\n").encode())
    return path


def circumstances(document: Document, comparison: Comparison) -> str:
    """Return under which circumstances a comparison was made."""
    recipe = document.recipe
    return (
        f"{recipe.model.source} on {recipe.data.source}, backend {comparison.backend}, "
        f"{comparison.threads} thread(s), batch size {comparison.batch_size}"
    )


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 1) -> str:
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{' class=number' if column >= numbers else ''}>{html.escape(text)}</td>"
            for column, text in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _exports(exports: Sequence[ExportResult]) -> str:
    return _table(
        ("Format", "File", "Size", "Same outputs in a fresh process", "Greatest difference"),
        (
            (
                entry.format,
                Path(entry.path).name,
                formatting.size(entry.size_bytes),
                "yes" if entry.verified else f"no: {entry.message}",
                formatting.NOTHING if entry.max_abs_diff is None else formatting.number(entry.max_abs_diff, 3),
            )
            for entry in exports
        ),
        numbers=2,
    )


def _layers(comparison: Comparison) -> str:
    return _table(
        ("Layer", "Type", "Mode", "Scale", "Zero point", "SQNR", "Float", "int8"),
        (
            (
                layer.name,
                layer.type,
                layer.mode.value,
                formatting.NOTHING if layer.scale is None else formatting.scale(layer.scale),
                formatting.NOTHING if layer.zero_point is None else str(layer.zero_point),
                formatting.decibel(layer.sqnr_db),
                formatting.milliseconds(layer.float_ms),
                formatting.milliseconds(layer.quantized_ms),
            )
            for layer in comparison.layers
        ),
        numbers=3,
    )
