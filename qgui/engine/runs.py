"""What a finished run leaves in a folder, so that it can be exported once more without calibrating again."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file

from qgui.core import recipe_file
from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.recipe import Recipe
from qgui.engine import moments
from qgui.engine.fx.qat import Trained
from qgui.engine.progress import Progress
from qgui.engine.session import Session

RECIPE = "recipe.json"
STATISTICS = "statistics.npz"
TRAINED = "trained.safetensors"
ROUNDING = "rounding.safetensors"


def save(session: Session, folder: Path) -> None:
    """Write recipe, statistics and trained weights of a session into a folder; those of a run before it go.

    Raises:
        QguiError: They cannot be written.
    """
    result = session.quantized_model
    recipe_file.save(result.recipe, folder / RECIPE)
    if session.record is not None:
        session.save_statistics(folder / STATISTICS)
    else:
        (folder / STATISTICS).unlink(missing_ok=True)
        moments.path_beside(folder / STATISTICS).unlink(missing_ok=True)
    session.learned.save(folder / ROUNDING)
    if result.trained is None:
        (folder / TRAINED).unlink(missing_ok=True)
    else:
        temporary = folder / f".{TRAINED}"
        try:
            save_file({k: v.contiguous().clone() for k, v in result.trained.tensors().items()}, temporary)
            temporary.replace(folder / TRAINED)
        except OSError as error:
            why = error.strerror or str(error)
            raise QguiError(
                say("Could not write {folder}", folder=folder / TRAINED), why, say("Free some space.")
            ) from error


def restore(folder: Path, progress: Progress, trust: bool = False) -> tuple[Session, Recipe]:
    """Return a session with the quantized model of a run.

    Raises:
        NeedsTrust: The model file can only be opened by running code that it holds.
        QguiError: The folder holds no run, or its model or data cannot be opened any more.
    """
    if not (folder / RECIPE).is_file():
        raise QguiError(
            say("Could not open the run"),
            say("{folder} holds no {recipe}", folder=folder, recipe=RECIPE),
            say("Name a folder that quantize wrote."),
        )
    recipe = recipe_file.load(folder / RECIPE)
    session = Session()
    session.open_model(recipe.model, trust)
    session.open_data(recipe.data)
    if (folder / STATISTICS).is_file():
        session.use_statistics(folder / STATISTICS)
    session.learned.take(folder / ROUNDING)
    file = folder / TRAINED
    trained = Trained.of_tensors(load_file(file)) if file.is_file() else None
    session.quantize(recipe, progress, trained)
    return session, recipe
