"""torchvision's weights: found where they lie, downloaded with their hash checked, and never half."""

import hashlib
import http.server
import threading
from pathlib import Path

import pytest
import torch

from qgui.core.errors import Cancelled, QguiError
from qgui.core.recipe import ModelReference
from qgui.engine import pretrained, sources
from qgui.engine.pretrained import PublishedWeights
from qgui.engine.progress import Progress

CONTENT = b"weights" * 100_000


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)


def served(folder: Path, digest: str = "") -> PublishedWeights:
    """Lay weights where a `file:` address finds them, with a hash in their name."""
    folder.mkdir(exist_ok=True)
    path = folder / f"net-{digest or hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"
    path.write_bytes(CONTENT)
    return PublishedWeights("net", path.as_uri(), 0.7)


def test_that_the_published_weights_are_those_of_the_published_accuracies() -> None:
    weights = pretrained.published("resnet50")
    assert (weights.file, weights.digest, round(weights.megabytes)) == ("resnet50-0676ba61.pth", "0676ba61", 98)
    assert pretrained.published("shufflenet_v2_x1_0").digest == "5666bf0f80"


def test_that_weights_are_downloaded_into_torchs_cache_and_found_there(tmp_path: Path) -> None:
    weights = served(tmp_path / "server")
    assert pretrained.find(weights) is None
    told: list[tuple[str, int, int]] = []
    path = pretrained.download(weights, Progress(lambda phase, done, total, _: told.append((phase, done, total))))
    assert path == tmp_path / "torch" / "hub" / "checkpoints" / weights.file
    assert path.read_bytes() == CONTENT
    assert pretrained.find(weights) == path
    assert told[0][0] == f"Downloading {weights.file}, megabytes"


def test_that_a_chosen_folder_comes_before_the_cache(tmp_path: Path) -> None:
    weights = served(tmp_path / "mine")
    assert pretrained.find(weights, str(tmp_path / "mine")) == tmp_path / "mine" / weights.file
    assert pretrained.find(weights, str(tmp_path / "other")) is None


def test_that_what_has_another_hash_is_not_kept(tmp_path: Path) -> None:
    weights = served(tmp_path / "server", "00000000")
    with pytest.raises(QguiError, match=r"has another SHA-256 than its name says\. Try again later; nothing was kept"):
        pretrained.download(weights, Progress())
    assert list(pretrained.cache().iterdir()) == []
    with pytest.raises(QguiError, match="does not begin with 00000000"):
        pretrained.check(weights, tmp_path / "server" / weights.file)


def test_that_a_cancelled_download_leaves_nothing(tmp_path: Path) -> None:
    weights = served(tmp_path / "server")
    asked: list[None] = []

    def cancelled() -> bool:
        asked.append(None)
        return len(asked) > 2

    with pytest.raises(Cancelled):
        pretrained.download(weights, Progress(cancelled=cancelled))
    assert list(pretrained.cache().iterdir()) == []


def test_that_without_a_connection_it_is_said_what_else_can_be_done() -> None:
    weights = PublishedWeights("net", "http://127.0.0.1:9/net-00000000.pth", 1.0)
    with pytest.raises(QguiError, match=r"cannot be reached .* download http.* elsewhere and choose the folder"):
        pretrained.download(weights, Progress())


def test_that_a_connection_that_breaks_is_said_and_leaves_nothing() -> None:
    class Short(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Short) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        weights = PublishedWeights("net", f"http://127.0.0.1:{server.server_port}/net-00000000.pth", 1.0)
        with pytest.raises(QguiError, match=r"the connection to .* broke|has another SHA-256"):
            pretrained.download(weights, Progress())
        thread.join()
    assert list(pretrained.cache().iterdir()) == []


def test_that_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "torch").write_text("a file in the way")
    with pytest.raises(QguiError, match="cannot be written"):
        pretrained.download(served(tmp_path / "server"), Progress())


def test_that_published_weights_of_googlenet_normalize_as_they_were_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.pth"
    reference = ModelReference("torchvision:googlenet", str(path))
    torch.save(sources.open_model(ModelReference("torchvision:googlenet")).module.state_dict(), path)
    assert not sources.open_model(reference).module.transform_input
    monkeypatch.setattr(pretrained, "has_digest", lambda _path, digest: digest == "1378be20")
    assert sources.open_model(reference).module.transform_input


def test_that_a_file_is_recognized_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "any name.pth"
    assert not pretrained.is_published("googlenet", path)
    path.write_bytes(b"other")
    assert not pretrained.is_published("googlenet", path)
