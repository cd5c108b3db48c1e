"""The C side of ONNX Runtime."""
