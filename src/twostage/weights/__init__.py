"""Pretrained networks that other stages use unchanged, as safetensors."""
