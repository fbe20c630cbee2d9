"""How outputs of another program are held against those of the model."""

import numpy as np
import pytest

from qgui.engine import fidelity


def test_equal_outputs_agree_wholly_also_where_they_are_not_finite() -> None:
    output = np.array([[1.0, 2.0, np.inf], [np.nan, 0.0, 1.0]])
    found = fidelity.of_outputs([output], [output.copy()])
    assert found.max_abs_diff == 0.0
    assert found.agreement == 1.0
    assert found.sqnr_db == 200.0


def test_difference_agreement_and_ratio_are_those_of_all_samples() -> None:
    expected = [np.array([[3.0, 0.0]]), np.array([[0.0, 4.0]])]
    found = fidelity.of_outputs(expected, [np.array([[3.0, 0.0]]), np.array([[0.5, 0.0]])])
    assert found.max_abs_diff == 4.0
    assert found.agreement == 0.5
    assert found.sqnr_db == pytest.approx(10 * np.log10(25 / 16.25))


@pytest.mark.parametrize("broken", [np.array([[np.nan, 1.0]]), np.array([[1.0, 2.0, 3.0]])])
def test_what_is_not_finite_or_has_another_shape_differs_without_bound(broken: np.ndarray) -> None:
    found = fidelity.of_outputs([np.array([[1.0, 2.0]])], [broken])
    assert found.max_abs_diff == np.inf
    assert found.sqnr_db == 0.0


def test_values_that_are_no_class_scores_have_no_agreement() -> None:
    assert fidelity.of_outputs([np.ones((2, 3, 4))], [np.ones((2, 3, 4))]).agreement is None


def test_the_first_layer_that_differs_is_named_and_else_the_one_that_differs_most() -> None:
    ours = {name: np.arange(8.0) + 1.0 for name in ("a", "b", "c")}
    theirs = {"a": ours["a"] + 0.01, "b": -ours["b"], "c": ours["c"] * 0.0}
    assert fidelity.parting_layer(ours, theirs) == "b"
    assert fidelity.parting_layer(ours, {"a": ours["a"] + 0.1, "c": ours["c"] + 0.01}) == "a"
    assert fidelity.parting_layer(ours, {}) == ""
