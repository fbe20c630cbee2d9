"""Running published rows: with small networks, small images and weights that the tests make."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
import torchvision
from test_imagenet import picture

from qgui.core import training
from qgui.core.benchmarks import BenchmarkSettings
from qgui.core.errors import Cancelled, QguiError
from qgui.core.published import row_of
from qgui.core.recipe import DataReference, Mode, ModelReference
from qgui.engine import benchmark_accuracy, benchmark_latency, benchmarks, bert, imagenet, pretrained, sources
from qgui.engine.pretrained import PublishedWeights
from qgui.engine.progress import Progress
from qgui.engine.session import Session

QUICK = BenchmarkSettings(runs=2, calibrate=4, training_images=8, limit=8)
SIDE = 32


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)


@pytest.fixture
def validation(tmp_path: Path) -> Path:
    folder = tmp_path / "val"
    for number in range(24):
        picture(folder / imagenet.synsets()[number % 5] / f"{number}.JPEG", 10 * number, (40, 36))
    return folder


@pytest.fixture
def small_images(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = {"resize": SIDE, "crop": SIDE}
    monkeypatch.setattr(benchmark_accuracy, "transform_of", lambda _model: reference)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Serve untrained weights of a torchvision model under a `file:` address, as if they were the published ones."""

    def serve(model: str) -> Path:
        torch.manual_seed(0)
        network = torchvision.models.get_model(model, weights=None)
        with torch.no_grad():  # BatchNorm must know such images, else activations vanish.
            for _ in range(4):
                network(torch.randn(8, 3, SIDE, SIDE))
        path = tmp_path / "weights.pth"
        torch.save(network.state_dict(), path)
        named = path.with_name(f"{model}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth")
        path.rename(named)
        weights = PublishedWeights(model, named.as_uri(), named.stat().st_size / 1e6)
        monkeypatch.setattr(pretrained, "published", lambda _model: weights)
        return named

    return serve


def test_that_a_latency_row_times_float_and_int8_and_tells_both_speedups(monkeypatch: pytest.MonkeyPatch) -> None:
    given = (
        ModelReference("example:digits-cnn"),
        DataReference(source="example:digits", calibrate=8, evaluate=8),
        "Small.",
    )
    monkeypatch.setattr(benchmark_latency, "sources_of", lambda _row, _weights: given)
    found = benchmarks.run("latency/resnet50", QUICK, Progress())
    assert found.latency is not None
    assert [variant.name for variant in found.latency.variants] == [
        "float eager",
        "float TorchScript",
        "float fused, channels-last, TorchScript",
        "int8 eager",
        "int8 TorchScript",
    ]
    assert found.latency.speedup >= found.latency.speedup_over_best > 0
    assert (found.latency.threads, found.latency.batch_size) == (1, 1)
    assert found.notes[0] == "Small."
    assert found.versions["torch"] == torch.__version__


def test_that_latency_rows_take_weights_where_they_are_and_say_what_they_took(tmp_path: Path) -> None:
    row = row_of("latency/resnet50")
    model, data, note = benchmark_latency.sources_of(row, None)
    assert (model.source, model.weights, data.source) == ("torchvision:resnet50", "", "random:1x3x224x224")
    assert note.startswith("Random weights")
    model, _, note = benchmark_latency.sources_of(row, tmp_path / "resnet50.pth")
    assert model.weights == str(tmp_path / "resnet50.pth")
    assert note.startswith("torchvision's weights")


def test_that_bert_without_transformers_is_an_encoder_of_its_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bert, "has_transformers", lambda: False)
    *_, note = benchmark_latency.sources_of(row_of("latency/bert"), None)
    assert note.startswith("An encoder of the shape of BERT-base")
    small = bert.BertShaped(layers=1, width=32, heads=2, inner=64)
    session = Session()
    monkeypatch.setattr(bert, "base", lambda: small)
    session.open_model(ModelReference("qgui.engine.bert:base"))
    session.open_data(DataReference(source="qgui.engine.bert:sequences", calibrate=1, evaluate=1))
    assert session.opened_model.graphs is not None
    session.quantize(session.advised_recipe(mode=Mode.DYNAMIC), Progress())
    (sample,) = session.check_batches(1)
    assert session.run_quantized(sample).shape == (1, 2)


def test_that_the_encoder_has_as_many_parameters_as_bert_base() -> None:
    with torch.device("meta"):
        parameters = sum(p.numel() for p in bert.BertShaped().parameters())
    # BERT-base has 109.5 million: the difference are the places and segments that 128 tokens do not need.
    assert parameters == pytest.approx(109.5e6, rel=0.005)


def test_that_an_accuracy_row_scores_float_and_int8_on_the_same_images(
    validation: Path, server: Callable[[str], Path], small_images: None
) -> None:
    folder = server("resnet18").parent
    settings = msgspec.structs.replace(QUICK, images=str(validation), weights=str(folder))
    found = benchmarks.run("accuracy/resnet18", settings, Progress())
    figures = found.accuracy
    assert figures is not None
    assert (figures.samples, figures.mode) == (8, "static")
    assert figures.float_interval is not None
    assert figures.float_interval.low <= figures.float_value <= figures.float_interval.high
    assert figures.delta is not None
    assert figures.delta.value == pytest.approx(figures.int8_value - figures.float_value)
    assert "4 of the validation images calibrate and are not evaluated." in found.notes


def test_that_weights_are_downloaded_only_where_the_person_agreed(
    validation: Path, server: Callable[[str], Path], small_images: None
) -> None:
    server("resnet18")
    settings = msgspec.structs.replace(QUICK, images=str(validation))
    state = benchmarks.state(row_of("accuracy/resnet18"), settings)
    assert state.needs.startswith("The weights are not on this machine: let them be downloaded (47 MB), or choose")
    with pytest.raises(QguiError, match="let them be downloaded"):
        benchmarks.run("accuracy/resnet18", settings, Progress())
    assert not pretrained.cache().exists()
    agreed = msgspec.structs.replace(settings, download=True)
    assert benchmarks.state(row_of("accuracy/resnet18"), agreed).missing == ()
    assert benchmarks.state(row_of("accuracy/resnet18"), agreed).download_mb == pytest.approx(46.8, abs=0.5)
    assert benchmarks.run("accuracy/resnet18", agreed, Progress()).accuracy is not None
    assert benchmarks.state(row_of("accuracy/resnet18"), settings).missing == ()


def test_that_the_qat_row_trains_and_says_how_long_beforehand(
    validation: Path, server: Callable[[str], Path], small_images: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "AUTOMATIC_EPOCHS", (1, 1))
    weights = server("squeezenet1_1")
    row = msgspec.structs.replace(row_of("accuracy/resnet18"), name="squeezenet1_1", mode=Mode.QAT)
    settings = msgspec.structs.replace(QUICK, images=str(validation), limit=4)
    said: list[str] = []
    figures, notes = benchmark_accuracy.measure(row, settings, weights, Progress(), said.append)
    assert figures.mode == "qat"
    assert said[0].startswith("Training ")
    assert said[0].endswith("with distillation from the float model: about 1 min.")
    assert any(note.startswith("Trained ") for note in notes)
    assert "8 of the validation images calibrate and train and are not evaluated." in notes


def test_that_the_qat_row_without_training_says_that_it_is_static(
    validation: Path, server: Callable[[str], Path], small_images: None
) -> None:
    row = msgspec.structs.replace(row_of("accuracy/resnet18"), name="squeezenet1_1", mode=Mode.QAT)
    settings = msgspec.structs.replace(QUICK, images=str(validation), limit=4)
    static = msgspec.structs.replace(settings, training_images=0)
    figures, notes = benchmark_accuracy.measure(row, static, server("squeezenet1_1"), Progress(), print)
    assert figures.mode == "static"
    assert "Static, not trained: the published int8 figure is of quantization-aware training." in notes


def test_that_a_row_stops_where_it_is_cancelled(validation: Path, server: Callable[[str], Path]) -> None:
    folder = server("resnet18").parent
    settings = msgspec.structs.replace(QUICK, images=str(validation), weights=str(folder))
    with pytest.raises(Cancelled):
        benchmarks.run("accuracy/resnet18", settings, Progress(cancelled=lambda: True))


def test_that_damaged_weights_are_refused(validation: Path, server: Callable[[str], Path]) -> None:
    path = server("resnet18")
    path.write_bytes(b"half")
    settings = msgspec.structs.replace(QUICK, images=str(validation), weights=str(path.parent))
    with pytest.raises(QguiError, match="is damaged or another file"):
        benchmarks.run("accuracy/resnet18", settings, Progress())


def test_that_every_row_says_what_it_lacks(tmp_path: Path) -> None:
    states = {state.key: state for state in benchmarks.states(BenchmarkSettings())}
    assert [key for key, state in states.items() if not state.missing] == [
        "latency/bert",
        "latency/resnet50",
        "latency/mobilenet_v2",
    ]
    assert states["accuracy/resnet50"].needs == (
        "Choose the folder of ImageNet validation images. The weights are not on this machine: let them be downloaded "
        "(98 MB), or choose the folder that holds resnet50-0676ba61.pth."
    )
    assert "dev.tsv" in states["accuracy/bert"].needs
    assert "Trains on 512 images" in states["accuracy/mobilenet_v2"].plan
    wrong = BenchmarkSettings(images="/no/such", mrpc="/no/dev.tsv", bert="/no/bert", training_images=0)
    states = {state.key: state for state in benchmarks.states(wrong)}
    assert "There is no folder /no/such" in states["accuracy/resnet18"].needs
    assert "There is no file /no/dev.tsv" in states["accuracy/bert"].needs
    assert "There is no folder /no/bert" in states["accuracy/bert"].needs
    assert states["accuracy/mobilenet_v2"].plan.startswith("Quantizes statically, not as published")


def test_that_an_encoder_without_a_trained_head_is_refused(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=11, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(QguiError, match=r"has no weights for classifier.*fine-tuned for classification"):
        sources.open_model(ModelReference(f"transformers:{tmp_path}"))


def test_that_the_bert_row_scores_f1_with_a_model_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = tmp_path / "bert"
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "he", "she", "said", "it", '"', "."]
    (folder / "vocab.txt").write_text("\n".join(words))
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    torch.manual_seed(0)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    lines = [f'{number % 2}\t1\t2\the said " it {number} .\tshe said it .' for number in range(6)]
    file = tmp_path / "dev.tsv"
    file.write_text("Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n" + "\n".join(lines))
    settings = BenchmarkSettings(mrpc=str(file), bert=str(folder))
    found = benchmarks.run("accuracy/bert", settings, Progress()).accuracy
    assert found is not None
    assert (found.samples, found.mode, found.float_interval) == (6, "dynamic", None)
    assert 0.0 <= found.float_value <= 1.0
