"""MRPC's sentence pairs, their F1, and models of the package transformers."""

from pathlib import Path

import pytest
import torch

from qgui.core.errors import QguiError
from qgui.core.recipe import ModelReference
from qgui.engine import mrpc, sources

HEADER = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "dev.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def test_that_quotes_are_ordinary_characters(tmp_path: Path) -> None:
    rows = '1\t1\t2\t"He said it .\tHe " said " it .\n0\t3\t4\tA\tB\n'
    pairs = mrpc.read_pairs(written(tmp_path, "\ufeff" + HEADER + rows))
    assert pairs == [mrpc.Pair('"He said it .', 'He " said " it .', 1), mrpc.Pair("A", "B", 0)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the columns of nothing"),
        ("label\ttext\n", "begins with the columns label, text"),
        (HEADER, "holds no sentence pairs"),
        (HEADER + "1\t1\t2\tonly one\n", "line 2 of .* has not the five columns"),
        (HEADER + "2\t1\t2\tA\tB\n", "line 2 of .* has not the five columns"),
    ],
)
def test_that_another_file_is_refused_with_the_reason(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(QguiError, match=why) as caught:
        mrpc.read_pairs(written(tmp_path, text))
    assert "Choose dev.tsv of MRPC" in caught.value.next_step


def test_that_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(QguiError, match="there is no file"):
        mrpc.read_pairs(tmp_path / "dev.tsv")


def test_that_f1_is_the_harmonic_mean_of_precision_and_recall() -> None:
    found = torch.tensor([1, 1, 1, 0, 0])
    target = torch.tensor([1, 1, 0, 1, 0])
    assert mrpc.f1(torch.nn.functional.one_hot(found, 2).float(), target) == pytest.approx(2 / 3)
    assert mrpc.f1(torch.tensor([[1.0, 0.0]]), torch.tensor([0])) == 0.0


def test_that_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QguiError, match=r"holds no model of the package transformers \(no config.json\)"):
        sources.open_model(ModelReference(f"transformers:{tmp_path}"))


def test_that_a_missing_package_is_said_with_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    for open_it in (
        lambda: sources.open_model(ModelReference(f"transformers:{tmp_path}")),
        lambda: mrpc.tokenizer(tmp_path),
    ):
        with pytest.raises(
            QguiError, match=r"transformers is not installed. Install it with: pip install 'qgui\[transformers\]'"
        ):
            open_it()
