"""The dialogs for models and data offer every source that the engine knows, and begin with what was chosen last."""

from pathlib import Path

import pytest
import ui_samples
from pytestqt.qtbot import QtBot

from qgui.core.recipe import DataReference
from qgui.ui.dialogs.open_data import OpenDataDialog
from qgui.ui.dialogs.open_model import OpenModelDialog


def data_dialog(qtbot: QtBot, reference: DataReference) -> OpenDataDialog:
    dialog = OpenDataDialog(ui_samples.model("torchvision:resnet18"), reference)
    qtbot.addWidget(dialog)
    return dialog


def choose(dialog: OpenDataDialog | OpenModelDialog, kind: str) -> None:
    for row in range(dialog.kinds.count()):
        if dialog.kinds.item(row).text() == kind:
            dialog.kinds.setCurrentRow(row)
            return
    raise AssertionError(kind)


@pytest.mark.parametrize(
    "source", ["example:digits", "folder:photos", "imagenet:val", "images.npz", "data.py:data", "random:1x3x32x32"]
)
def test_that_the_data_dialog_begins_with_the_source_of_before(qtbot: QtBot, source: str) -> None:
    reference = DataReference(source, resize=200, crop=180, mean=(0.1, 0.2, 0.3), interpolation="bicubic")
    assert data_dialog(qtbot, reference).reference() == reference


def test_that_imagenet_is_chosen_by_its_folder_and_images_become_tensors_as_said(qtbot: QtBot, tmp_path: Path) -> None:
    dialog = data_dialog(qtbot, DataReference())
    choose(dialog, "ImageNet")
    assert not dialog.ok.isEnabled()
    assert "validation images" in dialog.problem.text()
    dialog.imagenet.set_path(str(tmp_path))
    assert dialog.ok.isEnabled()
    dialog.images.crop_box.setValue(192)
    assert dialog.reference().source == f"imagenet:{tmp_path}"
    assert dialog.reference().crop == 192
    dialog.images.mean.setText("nothing")
    assert "three numbers" in dialog.problem.text()


def test_that_only_sources_of_images_ask_how_images_become_tensors(qtbot: QtBot) -> None:
    dialog = data_dialog(qtbot, DataReference())
    asked = []
    for row in range(dialog.kinds.count()):
        dialog.kinds.setCurrentRow(row)
        if not dialog.images.isHidden():
            asked.append(dialog.kinds.item(row).text())
    assert asked == ["Image folder", "ImageNet"]


def test_that_a_model_of_transformers_is_chosen_by_its_folder(qtbot: QtBot, tmp_path: Path) -> None:
    dialog = OpenModelDialog()
    qtbot.addWidget(dialog)
    choose(dialog, "transformers")
    dialog.transformers.set_path(str(tmp_path))
    assert "config.json" in dialog.problem.text()
    assert not dialog.ok.isEnabled()
    (tmp_path / "config.json").write_text("{}")
    dialog.transformers.set_path("")
    dialog.transformers.set_path(str(tmp_path))
    assert dialog.ok.isEnabled()
    assert dialog.reference().source == f"transformers:{tmp_path}"
    assert f"transformers:{tmp_path}" in dialog.problem.text()
