"""The report of a quantization: sentences for a terminal, and one self-contained HTML page."""
