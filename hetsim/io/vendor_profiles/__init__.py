"""Profiles that vendors' tools and engines write: one file for each format, all read into one type of record."""

FORMAT_NAMES = ("qnn-optrace", "qnn-qhas", "onnxruntime", "openvino", "vela", "litert", "executorch")
