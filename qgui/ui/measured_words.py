"""How the measured and the predicted SQNR of an activation belong together, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qgui.core.language import say
from qgui.ui import formatting

if TYPE_CHECKING:
    from qgui.core.measured import MeasuredRatios


def explanation(ratios: MeasuredRatios) -> str:
    """Return in words how measured and predicted ratio belong together."""
    measured = formatting.decibel(ratios.sqnr_db)
    lines = [say("Measured in the whole int8 model: {measured}.").format(measured=measured)]
    if ratios.predicted_db is not None:
        sentence = say("Predicted for the rounding and clipping of this range alone: {predicted}.")
        lines.append(sentence.format(predicted=formatting.decibel(ratios.predicted_db)))
    if ratios.inherited_db is not None:
        sentence = say("Inherited: what the layer read had {inherited} already.")
        lines.append(sentence.format(inherited=formatting.decibel(ratios.inherited_db)))
    if ratios.surprising:
        lines.append(_verdict(ratios))
    return "\n".join(lines)


def _verdict(ratios: MeasuredRatios) -> str:
    predicted = ratios.predicted_db if ratios.predicted_db is not None else ratios.sqnr_db
    expected = ratios.expected_db if ratios.expected_db is not None else predicted
    gap = formatting.number_fixed(abs(ratios.sqnr_db - predicted), 1)
    if ratios.sqnr_db > predicted:
        sentence = say(
            "{gap} dB better than predicted: these samples fill the range differently from those of the calibration."
        )
        return sentence.format(gap=gap)
    if not ratios.worse_than_explained:
        sentence = say("{gap} dB worse than predicted, because the error of the layers before is in it.")
        return sentence.format(gap=gap)
    sentence = say(
        "{gap} dB worse than predicted. Range and inheritance together explain {expected}: look at its weight, and at "
        "samples unlike those of calibration."
    )
    return sentence.format(gap=gap, expected=formatting.decibel(expected))
