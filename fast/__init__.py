"""Vectorised PyTorch versions: any float dtype, any device."""
