"""The graph: that it is Netron's, that it follows the window and the window it, and that it speaks to nobody else."""

import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ui_samples
from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices
from pytestqt.qtbot import QtBot

from qgui.core.recipe import DataReference, Mode, ModelReference
from qgui.ui import graph_server
from qgui.ui.graph_panel import GraphPanel
from qgui.ui.graph_server import GraphServer
from qgui.ui.main_window import MainWindow
from qgui.ui.theme import ThemeName

MARKS = "Object.fromEntries([...document.querySelectorAll('.qgui-mark')].map((m) => [m.dataset.layer, m.textContent]))"
SELECTED = "[...document.querySelectorAll('g.node.select')].map((node) => node.id)"


@pytest.fixture
def web() -> None:
    pytest.importorskip("PySide6.QtWebEngineWidgets", reason="Qt's web engine is missing", exc_type=ImportError)


@pytest.fixture
def panel(opened: MainWindow) -> GraphPanel:
    """The graph panel of a window with model and data, not seen yet."""
    return opened.workbench.graph_panel


@pytest.fixture
def server(qtbot: QtBot, tmp_path: Path) -> Iterator[GraphServer]:
    server = GraphServer()
    server.start()
    ui_samples.graph("float", tmp_path / "float.onnx")
    server.show(tmp_path / "float.onnx")
    yield server
    server.stop()
    server.deleteLater()
    assert not [thread for thread in threading.enumerate() if thread.name == "graph-server"]


@pytest.fixture
def browsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were given to the person's browser, where there is no web engine."""
    addresses: list[str] = []
    monkeypatch.setitem(sys.modules, "qgui.ui.graph_view", None)
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: addresses.append(url.toString()))
    return addresses


def see(window: MainWindow) -> None:
    window.workbench.tabs.setCurrentWidget(window.workbench.graph_panel)


def draw(qtbot: QtBot, window: MainWindow) -> Callable[[str], Any]:
    """Show the graph, and return a function that evaluates an expression in its page."""
    panel = window.workbench.graph_panel
    with qtbot.waitSignal(panel.server.said, timeout=20_000, check_params_cb=lambda said: said["event"] == "shown"):
        see(window)
    assert panel.view is not None
    return lambda script: evaluated(qtbot, window, script)


def evaluated(qtbot: QtBot, window: MainWindow, script: str) -> Any:
    view, found = window.workbench.graph_panel.view, []
    assert view is not None
    view.page().runJavaScript(f"JSON.stringify({script})", 0, found.append)
    qtbot.waitUntil(lambda: bool(found))
    return json.loads(found[0])


def told(panel: GraphPanel) -> str:
    return panel.banner.label.text() if panel.banner.isVisible() else ""


def wait_told(qtbot: QtBot, panel: GraphPanel, words: str) -> None:
    def said() -> None:
        assert words in told(panel)

    qtbot.waitUntil(said)


def test_that_a_window_loads_no_web_engine_before_the_graph_is_seen(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
import ui_samples
from qgui.core.recipe import DataReference, ModelReference
from qgui.ui.app import create_application
from qgui.ui.main_window import MainWindow
from qgui.ui.settings import Settings
from qgui.ui.theme import Theme

def loaded():
    maps = Path("/proc/self/maps")
    mapped = ["library"] if maps.exists() and "WebEngineCore" in maps.read_text() else []
    return mapped + [name for name in sys.modules if "WebEngine" in name or name in ("netron", "onnx", "torch")]

application = create_application()
window = MainWindow(Settings(Path(sys.argv[1]) / "settings.ini"), Theme(), state_folder=Path(sys.argv[1]))
window.show()
application.processEvents()
print("painted", loaded())
window.build_panels()
application.processEvents()
window.document.open_model(ui_samples.model(), ModelReference("example:digits-cnn"), DataReference())
window.document.open_data(ui_samples.data(), DataReference("example:digits"))
window.document.set_statistics(ui_samples.record())
window.document.set_result(ui_samples.result(window.document.recipe))
for _ in range(20):
    application.processEvents()
print("open", loaded())
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    found = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True, env=environment
    )
    assert found.stdout.split("\n") == ["painted []", "open []", ""]


@pytest.mark.usefixtures("web")
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the memory of the process cannot be read here")
def test_that_the_web_engine_is_loaded_when_the_graph_is_seen(qtbot: QtBot, opened: MainWindow) -> None:
    draw(qtbot, opened)
    assert "PySide6.QtWebEngineCore" in sys.modules
    assert "WebEngineCore" in Path("/proc/self/maps").read_text()


@pytest.mark.usefixtures("web")
def test_that_layers_carry_mode_and_sqnr_and_the_page_asks_and_reports_nothing(
    qtbot: QtBot, opened: MainWindow, panel: GraphPanel
) -> None:
    from qgui.ui.graph_view import LoopbackOnly

    blocked: list[QUrl] = []
    opened.document.set_result(ui_samples.result(opened.document.recipe))
    opened.document.set_comparison(ui_samples.comparison(opened.document.recipe))
    made = panel._make_view

    def watched() -> bool:
        there = made()
        assert panel.view is not None
        panel.view.guard.blocked.connect(blocked.append)
        return there

    panel._make_view = watched  # type: ignore[method-assign]
    page = draw(qtbot, opened)
    assert page(MARKS)["stem.conv"] == "static  ⚠ 11.0 dB"
    assert page(MARKS)["head"].startswith("static  ")
    assert page("document.querySelectorAll('g.graph-node').length") == 10
    assert "10 nodes" in panel.said.text()
    assert "1.7 kB of weight values left out" in panel.said.text()
    # No consent page stands there, no cookie was set, and nothing so much as tried to leave.
    assert page("[...document.body.classList]") == ["default"]
    assert page("document.cookie") == ""
    assert page("window.__view__._host._telemetry.session") is None
    assert blocked == []
    assert isinstance(panel.view.guard, LoopbackOnly)  # type: ignore[union-attr]
    opened.document.decide("Float", ["head"], lambda layer, rule: rule.__class__(Mode.FLOAT))
    qtbot.waitUntil(lambda: page(MARKS)["head"].startswith("float"))


@pytest.mark.usefixtures("web")
def test_that_selecting_a_layer_selects_its_nodes_and_a_click_on_a_node_its_layer(
    qtbot: QtBot, opened: MainWindow, panel: GraphPanel
) -> None:
    page = draw(qtbot, opened)
    for layer, nodes in (
        ("pool", ["node-name-pool"]),
        ("weird", ["node-name-weird/Mul", "node-name-weird/Add"]),
        ("stem.bn", ["node-name-stem.conv"]),
        ("weird.fc", ["node-name-weird/Mul", "node-name-weird/Add"]),
        ("x", ["input-name-x"]),
    ):
        opened.layer_panel.select([layer])
        qtbot.waitUntil(lambda nodes=nodes: page(SELECTED) == nodes)
    with qtbot.waitSignal(panel.layer_wanted) as chosen:
        page(
            "document.getElementById('node-name-stem.act/Clip').querySelector('.node-item')"
            ".dispatchEvent(new MouseEvent('click', {bubbles: true})) && 0"
        )
    assert chosen.args == ["stem.act"]
    qtbot.waitUntil(lambda: opened.layer_panel.selected_layers() == ("stem.act",))
    assert page("document.getElementById('sidebar').textContent.includes('stem.act/Clip')")


@pytest.mark.usefixtures("web")
def test_that_the_graph_follows_the_theme(qtbot: QtBot, opened: MainWindow, panel: GraphPanel) -> None:
    page = draw(qtbot, opened)
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page(ground) == "rgb(255, 255, 255)"
    opened.theme.choose(ThemeName.DARK)
    qtbot.waitUntil(lambda: page(ground) == "rgb(39, 43, 50)")
    assert page("getComputedStyle(document.querySelector('.edge-label')).fill") == "rgb(178, 178, 178)"


@pytest.mark.usefixtures("web")
def test_that_every_request_that_is_not_to_the_server_is_blocked(qtbot: QtBot, server: GraphServer) -> None:
    from qgui.ui.graph_view import GraphView

    view = GraphView()
    qtbot.addWidget(view)
    blocked: list[str] = []
    view.guard.blocked.connect(lambda url: blocked.append(url.toString()))
    view.guard.server = server.url()
    outside = ("http://192.0.2.1/a", "https://example.com/a", "http://localhost:1/a", "ws://192.0.2.1/a", "file:///a")
    other_port = "http://127.0.0.1:1/a"
    other_path = server.url().resolved(QUrl("/elsewhere")).toString()
    tries = "".join(
        f"fetch('{url}', {{mode: 'no-cors'}}).catch(() => 0);" for url in (*outside, other_port, other_path)
    )
    html = (
        f"<img src='http://192.0.2.1/image'><link rel='stylesheet' href='https://example.com/style'>"
        f"<iframe src='https://example.com/frame'></iframe><script src='https://example.com/script'></script>"
        f"<script>navigator.sendBeacon('https://example.com/beacon', 'a'); {tries}</script>"
    )
    with qtbot.waitSignal(view.loadFinished, timeout=20_000):
        view.setHtml(html, server.url())
    names = {"image", "style", "script", "beacon"}
    qtbot.waitUntil(lambda: names <= {url.rpartition("/")[2] for url in blocked})
    qtbot.waitUntil(lambda: {"http://192.0.2.1/a", "https://example.com/a", other_port, other_path} <= set(blocked))
    assert not any(url.startswith(server.url().toString()) for url in blocked)
    assert not view.page().acceptNavigationRequest(QUrl("https://example.com"), None, True)  # type: ignore[arg-type]


@pytest.mark.usefixtures("web")
def test_that_a_version_of_netron_that_starts_otherwise_is_told(
    qtbot: QtBot, opened: MainWindow, panel: GraphPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "index.html").write_text("<html><head></head><body></body></html>")
    monkeypatch.setattr(graph_server, "_netron", lambda: tmp_path)
    see(opened)
    wait_told(qtbot, panel, "This version of Netron starts in another way.")


@pytest.mark.usefixtures("web")
def test_that_drawing_can_be_cancelled(qtbot: QtBot, opened: MainWindow, panel: GraphPanel) -> None:
    see(opened)
    qtbot.waitUntil(panel.cancel.isVisible)
    panel.cancel.click()
    assert "cancelled" in told(panel)
    assert panel.view is not None
    assert not panel.view.isVisible()
    with qtbot.waitSignal(panel.server.said, timeout=20_000, check_params_cb=lambda said: said["event"] == "shown"):
        panel.banner.button.click()
    assert panel.view.isVisible()


@pytest.mark.usefixtures("web")
def test_that_a_page_that_crashes_is_told_and_drawn_again(qtbot: QtBot, opened: MainWindow, panel: GraphPanel) -> None:
    draw(qtbot, opened)
    assert panel.view is not None
    psutil.Process(panel.view.page().renderProcessPid()).kill()
    wait_told(qtbot, panel, "its page crashed")
    assert not panel.view.isVisible()
    with qtbot.waitSignal(panel.server.said, timeout=20_000, check_params_cb=lambda said: said["event"] == "shown"):
        panel.banner.button.click()


def test_that_the_browser_opens_where_the_web_engine_is_missing(
    qtbot: QtBot, opened: MainWindow, panel: GraphPanel, browsed: list[str]
) -> None:
    see(opened)
    qtbot.waitUntil(lambda: len(browsed) == 1)
    assert browsed[0].startswith("http://127.0.0.1:")
    with urllib.request.urlopen(browsed[0]) as page:
        assert "bridge.js" in page.read().decode()
    assert "in your browser" in told(panel)
    panel.banner.button.click()
    assert len(browsed) == 2


def test_that_a_large_graph_is_drawn_only_when_the_person_agrees(
    qtbot: QtBot, window: MainWindow, browsed: list[str]
) -> None:
    panel = window.workbench.graph_panel
    window.open_model(ModelReference("example:huge"), DataReference("example:digits"))
    qtbot.waitUntil(lambda: window.document.data is not None)
    see(window)
    wait_told(qtbot, panel, "2,001 nodes")
    assert browsed == []
    panel.banner.button.click()
    qtbot.waitUntil(lambda: len(browsed) == 1)


def test_that_the_panel_says_what_is_missing_and_offers_it(
    qtbot: QtBot, opened: MainWindow, panel: GraphPanel, browsed: list[str], heard: Callable[[], list[str]]
) -> None:
    panel.show_kind("quantized")
    see(opened)
    wait_told(qtbot, panel, "Quantize to see")
    panel.banner.button.click()
    qtbot.waitUntil(lambda: len(browsed) == 1)
    assert "Quantize" in heard()
    assert not panel.stale.isVisible()
    opened.document.decide("Float", ["head"], lambda layer, rule: rule.__class__(Mode.FLOAT))
    qtbot.waitUntil(panel.stale.isVisible)
    panel.stale.button.click()
    qtbot.waitUntil(lambda: len(browsed) == 2 and not panel.stale.isVisible())


def test_that_a_model_that_onnx_cannot_express_says_so(qtbot: QtBot, window: MainWindow, browsed: list[str]) -> None:
    panel = window.workbench.graph_panel
    window.open_model(ModelReference("example:inexpressible"), DataReference("example:digits"))
    qtbot.waitUntil(lambda: window.document.data is not None)
    see(window)
    wait_told(qtbot, panel, "ONNX has no operator for it")


def test_that_the_server_answers_only_who_knows_the_secret_and_only_with_what_belongs_to_the_page(
    server: GraphServer,
) -> None:
    here = server.url().toString()

    def status(address: str, data: bytes | None = None) -> int:
        try:
            with urllib.request.urlopen(address, data) as answer:
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                assert answer.headers["Cache-Control"] == "no-store"
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    for name in ("", "view.js", "grapher.css", "bridge.js", "bridge.css", "marks.json", "data/graph.onnx"):
        assert status(here + name) == 200, name
    root = server.url().resolved(QUrl("/")).toString()
    for address in (root, f"{root}data/graph.onnx", f"{here}../view.js", f"{here}%2e%2e/server.py", f"{here}server.py"):
        assert status(address) == 404, address
    assert status(f"{root}said", b"{}") == 404
    assert status(f"{here}said", b"no json") == 400
    assert status(f"{here}said", b'{"event": "shown"}') == 204
