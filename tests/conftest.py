"""What all tests share."""

from hypothesis import settings

# Runs are repeatable, write nothing into the checkout, and a busy machine fails nobody.
settings.register_profile("qgui", deadline=None, derandomize=True, database=None)
settings.load_profile("qgui")
