"""What a quantized model really produces in each activation, beside the float model and the prediction."""

from __future__ import annotations

from qgui.core.measured import MeasuredActivation, MeasuredActivations
from qgui.core.recipe import Recipe
from qgui.engine.fx import measured
from qgui.engine.progress import Progress
from qgui.engine.session import Session


def measure(session: Session, progress: Progress, samples: int = 16) -> MeasuredActivations:
    """Run float and quantized model on evaluation samples and return what each activation became.

    Args:
        session: With a quantized model and data.
        progress: Told after every sample.
        samples: Number of evaluation samples at most.

    Raises:
        QguiError: Nothing is quantized, or no data is open.
        Cancelled: The person asked to stop, or something else is to be done.
    """
    model, result, opened = session.opened_model, session.quantized_model, session.opened_data
    chosen = opened.evaluation[:samples]
    graphs = session.graphs_for(result.recipe)
    layers: dict[str, MeasuredActivation] = {}
    if graphs is not None:
        predicted = _predicted_ratios(session, result.recipe)
        batches = opened.batches(chosen, 1)
        layers = measured.measure(model.description, graphs, result, predicted, batches, len(chosen), progress)
    return MeasuredActivations(result.recipe.digest(), len(chosen), layers)


def _predicted_ratios(session: Session, recipe: Recipe) -> dict[str, float]:
    """Return the SQNR in dB that each quantized tensor's range alone has by the statistics; empty without any."""
    ranges = session.activations
    if ranges is None:
        return {}
    owners = {ranges.owner(name).name for name in session.quantized_model.decisions["tensors"]}
    names = [tensor.name for tensor in session.opened_model.description.tensors if tensor.owner in owners]
    return {name: ranges.choice(name, ranges.setting(name, recipe)).sqnr_db for name in names}
