"""Weights: pretrained networks that other stages use as they are, as safetensors."""
