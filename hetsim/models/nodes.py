"""ONNX nodes with the graphs inside them: what they read, and how it is renamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import onnx

RANDOM_KINDS = frozenset(
    ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
)
"""Operators that make random numbers: their outputs cannot be compared."""


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


def names_made(node: onnx.NodeProto) -> tuple[str, ...]:
    """The tensors that a node makes, and all names that its inner graphs give."""
    made = list(filter(None, node.output))
    for inner in inner_graphs(node):
        made += [value.name for value in (*inner.input, *inner.initializer)]
        made += [name for one in inner.node for name in names_made(one)]
    return tuple(made)


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
        for value in (*inner.input, *inner.initializer, *inner.output):
            value.name = rename(value.name)


def is_random(node: onnx.NodeProto) -> bool:
    """Whether a node makes random numbers, or a node of its inner graphs does; a dropout does while training."""
    if node.op_type in RANDOM_KINDS or (node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]):
        return True
    return any(is_random(one) for inner in inner_graphs(node) for one in inner.node)
