"""What torch does: load, trace, observe, quantize, train, measure, export. No Qt."""
