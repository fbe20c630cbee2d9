"""QGUI, a desktop workbench for quantizing PyTorch models."""

__version__ = "0.1.0"
