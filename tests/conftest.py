"""What all tests share."""

import os

from hypothesis import settings

# Tests read English sentences, whatever the person who runs them speaks; those of pictures run in each language.
os.environ["QGUI_LANGUAGE"] = os.environ.get("QGUI_TEST_LANGUAGE", "en")

# Runs are repeatable, write nothing into the checkout, and a busy machine fails nobody.
settings.register_profile("qgui", deadline=None, derandomize=True, database=None)
settings.load_profile("qgui")
