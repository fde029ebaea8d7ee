"""Trained models for others: folders with weights, program, card and example; ONNX; bioimage.io; the hub."""
