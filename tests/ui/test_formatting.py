"""Numbers as people read them."""

import pytest

from qgui.ui import formatting


@pytest.mark.parametrize(
    ("value", "digits", "read"),
    [
        (None, 3, "–"),
        (float("nan"), 3, "–"),
        (0.41444, 3, "0.414"),
        (23.456, 3, "23.5"),
        (1034.6, 3, "1035"),
        (-123456.7, 4, "−123457"),
        (0.0000123456, 3, "1.23e−05"),
        (3.2e12, 3, "3.2e+12"),
    ],
)
def test_that_numbers_keep_what_stands_before_the_decimal_point(value: float | None, digits: int, read: str) -> None:
    assert formatting.number(value, digits) == read


@pytest.mark.parametrize(
    ("share", "read"), [(0.0, "0 %"), (8.3e-7, "< 0.0001 %"), (0.0000312, "0.0031 %"), (0.25, "25.0 %")]
)
def test_that_tiny_shares_are_read_without_exponents(share: float, read: str) -> None:
    assert formatting.small_percent(share) == read


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ("example:digits", "example:digits"),
        ("random:1x3x224x224", "random:1x3x224x224"),
        ("/home/me/data.py:batches", "data.py:batches"),
        ("folder:/home/me/photos/", "folder:photos"),
        ("/home/me/set.npz", "set.npz"),
        ("package.module:build", "package.module:build"),
    ],
)
def test_that_a_source_is_shown_without_its_folders(source: str, read: str) -> None:
    assert formatting.short_source(source) == read


def test_a_text_without_the_mark_of_its_key() -> None:
    assert formatting.without_mnemonic("&Open recipe…") == "Open recipe…"
    assert formatting.without_mnemonic("打开量化配置(&O)…") == "打开量化配置…"
    assert formatting.without_mnemonic("Black && &white") == "Black & white"
