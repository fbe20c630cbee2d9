"""Lowering with torch.fx and torch.ao.quantization, the only folder that touches either quantization package."""
