"""ONNX models: the zoo and the importer, the reference engine, segments as files, and rewrites."""
