"""ONNX nodes with the graphs inside them: what they read, and how it is renamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import onnx


def names_read(node: onnx.NodeProto) -> tuple[str, ...]:
    """The tensors that a node reads, those that its inner graphs take from outside included, each once."""
    read = dict.fromkeys(filter(None, node.input))
    for inner in inner_graphs(node):
        made = {value.name for value in (*inner.input, *inner.initializer)}
        for one in inner.node:
            read |= dict.fromkeys(name for name in names_read(one) if name not in made)
            made.update(one.output)
        read |= dict.fromkeys(value.name for value in inner.output if value.name not in made)
    return tuple(read)


def inner_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs among a node's attributes: the branches of an If, the body of a Loop."""
    for attribute in node.attribute:
        if attribute.type == attribute.GRAPH:
            yield attribute.g
        elif attribute.type == attribute.GRAPHS:
            yield from attribute.graphs


def rename_tensors(node: onnx.NodeProto, rename: Callable[[str], str]) -> None:
    """Rename what a node reads and makes, also within its inner graphs; ONNX forbids these to hide outer names."""
    node.input[:] = [rename(name) if name else "" for name in node.input]
    node.output[:] = [rename(name) if name else "" for name in node.output]
    for inner in inner_graphs(node):
        for one in inner.node:
            rename_tensors(one, rename)
        for value in inner.output:
            value.name = rename(value.name)
