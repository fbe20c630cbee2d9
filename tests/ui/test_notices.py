"""Long work that ends behind another window is told."""

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from qgui.ui.main_window import MainWindow
from qgui.ui.notices import LongWorkNotice


@pytest.mark.parametrize(
    ("seconds", "in_front", "told"), [(11.0, False, True), (11.0, True, False), (9.0, False, False)]
)
def test_that_only_long_work_behind_other_windows_is_told(
    qtbot: QtBot, opened: MainWindow, monkeypatch: pytest.MonkeyPatch, seconds: float, in_front: bool, told: bool
) -> None:
    now, alerted, shown = [0.0], list[object](), list[str]()
    monkeypatch.setattr(MainWindow, "isActiveWindow", lambda _: in_front)
    monkeypatch.setattr(QApplication, "alert", lambda window, _=0: alerted.append(window))
    monkeypatch.setattr(LongWorkNotice, "show_notice", lambda _, sentence: shown.append(sentence))
    qtbot.waitUntil(lambda: opened.client.current is None)
    LongWorkNotice(opened, opened.client, opened.workflow, lambda: now[0])
    with qtbot.waitSignal(opened.workflow.settled):
        opened.workflow.quantize()
        now[0] = seconds
    assert len(alerted) == told
    assert len(shown) == told
    assert all("quantized" in sentence.casefold() for sentence in shown), shown


def test_that_a_desktop_without_a_tray_is_no_trouble(opened: MainWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qgui.ui.notices.QSystemTrayIcon.isSystemTrayAvailable", lambda: False)
    opened.notices.show_notice("Done.")


def test_that_the_desktop_is_asked_to_show_the_sentence(opened: MainWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    tray = "qgui.ui.notices.QSystemTrayIcon."
    for name in ("isSystemTrayAvailable", "supportsMessages"):
        monkeypatch.setattr(tray + name, lambda: True)
    monkeypatch.setattr(tray + "showMessage", lambda _, title, text, *rest: shown.append(text))
    monkeypatch.setattr(tray + "show", lambda _: None)
    opened.notices.show_notice("Compared.")
    assert shown == ["Compared."]
