"""The page of the graph inside the window; only this module imports Qt's web engine.

It reaches nothing but the server of the graph: `LoopbackOnly` blocks every other request, the engine resolves no host
name, keeps nothing on disk and opens no other page.
"""

from __future__ import annotations

import json
import os
from typing import Any

from PySide6.QtCore import QObject, Qt, QUrl, Signal
from PySide6.QtGui import QColor
from PySide6.QtWebEngineCore import (
    QWebEnginePage,
    QWebEngineProfile,
    QWebEngineSettings,
    QWebEngineUrlRequestInfo,
    QWebEngineUrlRequestInterceptor,
)
from PySide6.QtWebEngineWidgets import QWebEngineView
from PySide6.QtWidgets import QWidget

from qgui.ui.graph_server import LOOPBACK

_FLAGS = (
    f'"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {LOOPBACK}"',
    "--disable-background-networking",
    "--dns-prefetch-disable",
    "--no-pings",
)
_ATTRIBUTES = {
    QWebEngineSettings.WebAttribute.DnsPrefetchEnabled: False,
    QWebEngineSettings.WebAttribute.HyperlinkAuditingEnabled: False,
    QWebEngineSettings.WebAttribute.PluginsEnabled: False,
    QWebEngineSettings.WebAttribute.LocalContentCanAccessRemoteUrls: False,
    QWebEngineSettings.WebAttribute.WebRTCPublicInterfacesOnly: True,
    QWebEngineSettings.WebAttribute.JavascriptCanOpenWindows: False,
    QWebEngineSettings.WebAttribute.FocusOnNavigationEnabled: False,
}


def _prepare_engine() -> None:
    """Set what the engine reads once, when it starts."""
    given = os.environ.get("QTWEBENGINE_CHROMIUM_FLAGS", "")
    os.environ["QTWEBENGINE_CHROMIUM_FLAGS"] = " ".join([given, *(flag for flag in _FLAGS if flag not in given)])
    # Chromium's sandbox refuses to start for root.
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        os.environ.setdefault("QTWEBENGINE_DISABLE_SANDBOX", "1")


class LoopbackOnly(QWebEngineUrlRequestInterceptor):
    """Blocks every request but those to one server on loopback.

    Signals:
        blocked: The address of a request that was blocked.
    """

    blocked = Signal(QUrl)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.server = QUrl()

    def allows(self, url: QUrl) -> bool:
        """Whether a request may go."""
        if url.scheme() in {"data", "blob"} or url.toString() == "about:blank":
            return True
        here = self.server
        same = (url.scheme(), url.host(), url.port()) == (here.scheme(), here.host(), here.port())
        return same and url.host() == LOOPBACK and url.path().startswith(here.path())

    def interceptRequest(self, info: QWebEngineUrlRequestInfo) -> None:
        url = info.requestUrl()
        if not self.allows(url):
            info.block(True)
            self.blocked.emit(url)


class _Page(QWebEnginePage):
    """Goes nowhere else, and keeps its remarks for itself."""

    def __init__(self, profile: QWebEngineProfile, guard: LoopbackOnly, parent: QObject) -> None:
        super().__init__(profile, parent)
        self._guard = guard

    def acceptNavigationRequest(self, url: QUrl | str, kind: QWebEnginePage.NavigationType, is_main: bool) -> bool:
        return self._guard.allows(QUrl(url))

    def javaScriptConsoleMessage(self, *arguments: object) -> None:
        pass


class GraphView(QWebEngineView):
    """Netron's page.

    Signals:
        crashed: The process that draws the page is gone.

    Args:
        parent: Qt parent.
    """

    crashed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        _prepare_engine()
        super().__init__(parent)
        self.setObjectName("graphView")
        self.setAccessibleName(self.tr("Graph of the model"))
        self.setToolTip(self.tr("Click a node to select its layer."))
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        self.setAcceptDrops(False)
        # Without a name a profile is off the record: nothing of it is written.
        profile = QWebEngineProfile()
        self.guard = LoopbackOnly(profile)
        profile.setUrlRequestInterceptor(self.guard)
        self._own_page = _Page(profile, self.guard, self)
        # Children go in the order in which they came, and the page has to go before its profile.
        profile.setParent(self)
        for attribute, on in _ATTRIBUTES.items():
            self._own_page.settings().setAttribute(attribute, on)
        self._own_page.renderProcessTerminated.connect(self._on_terminated)
        self.setPage(self._own_page)

    def _on_terminated(self, status: QWebEnginePage.RenderProcessTerminationStatus, _code: int) -> None:
        if status != QWebEnginePage.RenderProcessTerminationStatus.NormalTerminationStatus:
            self.crashed.emit()

    def open(self, url: QUrl, dark: bool, ground: str) -> None:
        """Show the page at an address of the server; requests to others are blocked from now on."""
        self.guard.server = QUrl(url)
        self._own_page.setBackgroundColor(QColor(ground))
        self.load(QUrl(f"{url.toString()}?dark={int(dark)}&ground={ground.removeprefix('#')}"))

    def follow_theme(self, dark: bool, ground: str) -> None:
        """Make the page dark or light."""
        self._own_page.setBackgroundColor(QColor(ground))
        self.call("dark", dark, ground)

    def leave(self) -> None:
        """Show nothing, and stop what the page is at."""
        self.stop()
        self.load(QUrl("about:blank"))

    def call(self, name: str, *arguments: Any) -> None:
        """Call one of the functions of `bridge.js`.

        Args:
            name: `select`, `mark` or `dark`.
            arguments: What it takes, as JSON.
        """
        given = ", ".join(map(json.dumps, arguments))
        self._own_page.runJavaScript(f"if (window.qgui) window.qgui.{name}({given})")
