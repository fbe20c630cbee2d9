"""The adviser: what is advised for one model, and why, with the numbers of this model."""
