"""How a model is opened: every form of model source, and the weights that go into it."""

from __future__ import annotations

import importlib.util
import inspect
import pickle  # noqa: TID251 - only for the exception that torch.load raises
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from qgui.core.errors import NeedsTrust, QguiError
from qgui.core.extras import how_to_install
from qgui.core.language import say
from qgui.core.recipe import ModelReference
from qgui.core.resources import resources
from qgui.engine import pretrained, python_source

WHAT = say("Could not open the model")
_WEIGHT_SUFFIXES = (".pt", ".pth", ".safetensors", ".bin", ".ckpt", ".tar")
#: torchvision's weights of these were trained with another normalization, which the model applies itself.
_NORMALIZES_AGAIN = ("googlenet", "inception_v3")
EXAMPLES = ("digits-cnn", "digits-lstm", "digits-transformer")


@dataclass
class LoadedModel:
    """A model in evaluation mode.

    Attributes:
        module: The model.
        title: Short name to show.
        input_shape: Shape of its input for one sample where the source tells, batch first.
        pretrained: False where the weights are random.
        notes: What the person should know.
    """

    module: nn.Module
    title: str
    input_shape: tuple[int, ...] | None = None
    pretrained: bool = True
    notes: list[str] = field(default_factory=list)


def open_model(reference: ModelReference, trust: bool = False) -> LoadedModel:
    """Return the model that a reference names, with its weights, in evaluation mode.

    Args:
        reference: Source and weights.
        trust: Whether the person agreed to run code that a pickle file holds.

    Raises:
        NeedsTrust: The file can only be opened by running code that it holds.
        QguiError: The model cannot be opened.
    """
    source = reference.source
    kind, _, name = source.partition(":")
    if kind == "example":
        loaded = _example(name)
    elif kind == "torchvision":
        loaded = _torchvision(name, reference.weights)
    elif kind == "transformers":
        loaded = _transformers(Path(name).expanduser())
    elif source.endswith((".pt", ".pth")):
        loaded = _whole_model(Path(source), trust)
    else:
        loaded = _python(source)
    if reference.weights and not (kind == "torchvision" and _is_name(reference.weights)):
        load_weights(loaded.module, Path(reference.weights), trust)
        loaded.pretrained = True
        loaded.notes = [note for note in loaded.notes if "random" not in note]
    loaded.module.eval()
    return loaded


def example_module(name: str) -> ModuleType:
    """Return a module of the bundled examples (`digits_networks` or `digits_data`)."""
    path = resources() / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"qgui_example_{name}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise QguiError(
            say("Could not open the example"), say("{path} is missing", path=path), say("Install QGUI again.")
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _example(name: str) -> LoadedModel:
    if name not in EXAMPLES:
        raise QguiError(
            WHAT,
            say("there is no example '{name}'", name=name),
            say("Choose one of {examples}.", examples=", ".join(EXAMPLES)),
        )
    build = getattr(example_module("digits_networks"), name.replace("-", "_"))
    module = build()
    module.load_state_dict(load_file(resources() / "examples" / f"{name}.safetensors"))
    return LoadedModel(module, name, (1, 1, 8, 8))


def _is_name(weights: str) -> bool:
    """Whether weights for a torchvision model are named (`DEFAULT`, `ResNet18_Weights.DEFAULT`), not a file."""
    path = Path(weights)
    return bool(weights) and path.suffix.lower() not in _WEIGHT_SUFFIXES and path.name == weights and not path.exists()


def torchvision_options(name: str) -> dict[str, Any]:
    """Return the keyword arguments with which a torchvision model is built so that nothing is downloaded or wasted."""
    import torchvision

    parameters = inspect.signature(torchvision.models.get_model_builder(name)).parameters
    options: dict[str, Any] = {"weights_backbone": None} if "weights_backbone" in parameters else {}
    if name in _NORMALIZES_AGAIN:
        options["init_weights"] = False
    return options


def _torchvision(name: str, weights: str) -> LoadedModel:
    import torchvision

    known = torchvision.models.list_models()
    if name not in known:
        near = [model for model in known if model.startswith(name[:4])][:8]
        raise QguiError(
            WHAT,
            say("torchvision has no model '{name}'", name=name),
            say("Near by: {near}.", near=", ".join(near) or say("none")),
        )
    named = _is_name(weights)
    if named:
        _check_weight_name(name, weights)
    torch.manual_seed(0)
    options = {} if named else torchvision_options(name)
    if name in _NORMALIZES_AGAIN and not named and pretrained.is_published(name, Path(weights)):
        # torchvision does the same where it loads these weights itself.
        options["transform_input"] = True
    try:
        module = torchvision.models.get_model(name, weights=weights if named else None, **options)
    except KeyError as error:
        given = ", ".join(torchvision.models.get_model_weights(name).__members__)
        why = say("torchvision has no weights {error} for {name}", error=error, name=name)
        raise QguiError(WHAT, why, say("Choose one of {given}, or a file.", given=given)) from error
    except Exception as error:
        hint = say("Check the connection, or download the weights elsewhere and give the file with --weights.")
        raise QguiError(WHAT, say("torchvision: {error}", error=error), hint) from error
    notes = [] if named else [say("The weights are random (give --weights): accuracy means nothing, latency does.")]
    return LoadedModel(module, name, _input_shape(name), named, notes)


def _check_weight_name(name: str, weights: str) -> None:
    import torchvision

    known = ["DEFAULT", *(member.name for member in torchvision.models.get_model_weights(name))]
    if weights.rpartition(".")[2] not in known:
        hint = say(
            "Choose one of {known}, or give a file ({weight_suffixes}).",
            known=", ".join(known),
            weight_suffixes=", ".join(_WEIGHT_SUFFIXES[:3]),
        )
        raise QguiError(
            WHAT, say("torchvision knows no weights '{weights}' for {name}", weights=weights, name=name), hint
        )


def _input_shape(name: str) -> tuple[int, ...]:
    """Return the input shape for which torchvision's weights of a model were trained, one sample."""
    import torchvision

    side, preset = 224, None
    try:
        preset = torchvision.models.get_model_weights(name).DEFAULT.transforms()
        crop = preset.crop_size
        side = crop[0] if isinstance(crop, (list, tuple)) else int(crop)
    except (AttributeError, ValueError, TypeError):
        pass
    return (1, 3, 16, side, side) if type(preset).__name__ == "VideoClassification" else (1, 3, side, side)


def _transformers(folder: Path) -> LoadedModel:
    """Return the classifier that `save_pretrained` of the package transformers wrote to a folder."""
    if not (folder / "config.json").is_file():
        hint = say("Choose the folder that save_pretrained wrote.")
        raise QguiError(
            WHAT, say("{folder} holds no model of the package transformers (no config.json)", folder=folder), hint
        )
    try:
        from transformers import AutoModelForSequenceClassification
    except ImportError as error:
        hint = how_to_install("transformers")
        raise QguiError(WHAT, say("the package transformers is not installed"), hint) from error
    try:
        module, told = AutoModelForSequenceClassification.from_pretrained(
            folder, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        lines = str(error).strip().splitlines()
        why = say(
            "transformers cannot load {folder} ({line})",
            folder=folder,
            line=lines[0] if lines else type(error).__name__,
        )
        raise QguiError(WHAT, why, say("Copy or save the model again."), str(error)) from error
    missing = sorted(told["missing_keys"])
    if missing:
        why = say(
            "{folder} has no weights for {missing}{more}",
            folder=folder,
            missing=", ".join(missing[:3]),
            more=", …" if len(missing) > 3 else "",
        )
        hint = say("Choose a model that was fine-tuned for classification, not its pretrained encoder alone.")
        raise QguiError(WHAT, why, hint, "\n".join(missing))
    return LoadedModel(module, folder.name)


def _python(source: str) -> LoadedModel:
    if python_source.split_callable(source) is None:
        hint = say("Write example:NAME, torchvision:NAME, PATH.py:CALLABLE, package.module:CALLABLE or PATH.pt.")
        reason = (
            say("there is no file {source}", source=source)
            if "/" in source or "." in source
            else say("'{source}' is no model source", source=source)
        )
        raise QguiError(WHAT, reason, hint)
    function = python_source.load_callable(source, WHAT)
    torch.manual_seed(0)
    module = function if isinstance(function, nn.Module) else python_source.call(function, source, WHAT)
    if not isinstance(module, nn.Module):
        why = say("{source} returned a {kind}", source=source, kind=type(module).__name__)
        raise QguiError(WHAT, why, say("Let it return a torch.nn.Module."))
    return LoadedModel(module, python_source.split_callable(source)[1])  # type: ignore[index]


def _whole_model(path: Path, trust: bool) -> LoadedModel:
    content = read_checkpoint(path, trust, WHAT)
    if isinstance(content, nn.Module):
        return LoadedModel(content, path.stem)
    if isinstance(content, dict):
        hint = say("Open the Python code that builds the model and give this file as its weights.")
        raise QguiError(WHAT, say("{path} holds a state dict, not a model", path=path), hint)
    raise QguiError(
        WHAT,
        say("{path} holds a {kind}, not a model", path=path, kind=type(content).__name__),
        say("Save the model with torch.save."),
    )


def read_checkpoint(path: Path, trust: bool, what: str) -> Any:
    """Return what `torch.save` wrote to a file.

    Raises:
        NeedsTrust: It holds more than tensors, and the person has not agreed to run its code.
        QguiError: The file is missing, truncated or no checkpoint.
    """
    if not path.is_file():
        raise QguiError(what, say("there is no file {path}", path=path), say("Check the path."))
    if path.stat().st_size == 0:
        raise QguiError(what, say("{path} is empty", path=path), say("Copy or download it again."))
    if _is_torchscript(path):
        hint = say("Open the Python code that builds it and give the state dict as weights.")
        raise QguiError(what, say("{path} is a TorchScript program, whose layers cannot be changed", path=path), hint)
    try:
        return torch.load(path, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as error:
        if ("weights_only" in str(error) or "Weights only" in str(error)) and _is_checkpoint(path):
            raise NeedsTrust(
                what,
                say("{path} holds Python code that would run while it is opened", path=path),
                say("Open it only if you trust whoever made it (--trust on the command line)."),
                str(error),
                str(path),
            ) from error
        raise _broken(path, what, error) from error
    except (RuntimeError, EOFError, zipfile.BadZipFile, OSError, ValueError, KeyError) as error:
        raise _broken(path, what, error) from error
    except (AttributeError, ModuleNotFoundError) as error:
        hint = say("Start QGUI where the classes of the model can be imported, or open its Python code instead.")
        raise QguiError(
            what, say("a class that {path} needs is missing: {error}", path=path, error=error), hint
        ) from error


def _broken(path: Path, what: str, error: Exception) -> QguiError:
    line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    why = say("{path} is damaged or of another kind ({split})", path=path, split=line.split(". ")[0])
    return QguiError(what, why, say("Copy or download it again."), str(error))


def _is_checkpoint(path: Path) -> bool:
    """Whether a file begins as what `torch.save` or `pickle` write; anything else holds nothing to trust."""
    with path.open("rb") as file:
        return file.read(1) == b"\x80" or zipfile.is_zipfile(path)


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def load_weights(module: nn.Module, path: Path, trust: bool = False) -> None:
    """Load a state dict into a model; the model is untouched where it does not fit.

    Raises:
        NeedsTrust: The file holds more than tensors.
        QguiError: The file cannot be read, or its keys or shapes do not fit.
    """
    what = say("Could not load the weights")
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise QguiError(what, say("there is no file {path}", path=path), say("Check the path."))
        try:
            content: Any = load_file(path)
        except (SafetensorError, OSError) as error:
            raise _broken(path, what, error) from error
    else:
        content = read_checkpoint(path, trust, what)
    if isinstance(content, nn.Module):
        content = content.state_dict()
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise QguiError(
            what,
            say("{path} holds no state dict", path=path),
            say("Save it with torch.save(model.state_dict(), path)."),
        )
    if content and all(key.startswith("module.") for key in content):
        content = {key.removeprefix("module."): value for key, value in content.items()}
    _check_fit(module, content, path, what)
    module.load_state_dict(content)


def _check_fit(module: nn.Module, content: dict[str, torch.Tensor], path: Path, what: str) -> None:
    own = module.state_dict()
    missing = [key for key in own if key not in content and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in content if key not in own]
    wrong = [
        say("{name}: {given} for {wanted}", name=k, given=tuple(content[k].shape), wanted=tuple(own[k].shape))
        for k in own
        if k in content
    ]
    wrong = [
        text
        for text, k in zip(wrong, (k for k in own if k in content), strict=True)
        if own[k].shape != content[k].shape
    ]
    if not (missing or unexpected or wrong):
        for key in own:
            content.setdefault(key, own[key])
        return
    counts = [(missing, say("missing")), (unexpected, say("unexpected")), (wrong, say("of another shape"))]
    told = [
        say(
            "{count} keys {label} ({keys}{more})",
            count=len(keys),
            label=label,
            keys=", ".join(keys[:3]),
            more=", …" if len(keys) > 3 else "",
        )
        for keys, label in counts
        if keys
    ]
    details = "\n".join(f"{label}:\n  " + "\n  ".join(keys) for keys, label in counts if keys)
    hint = say("Choose the weights of this architecture, or the code of theirs.")
    raise QguiError(
        what, say("{name} does not fit the model: {told}", name=path.name, told="; ".join(told)), hint, details
    )
