"""ONNX's own conformance suite, run on plans that are spread over two engines."""
