"""One 4-bit table for embedding and head that every build of onnxruntime reads.

The builder looks rows up with GatherBlockQuantized, which WebGPU and CPU have and the WASM build of the
browser's runtime lacks. Here the lookup is made of ordinary operators: gather the packed row and its
scales, split bytes into nibbles, (level - 8) * scale. Same bytes, same numbers.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def unpack_table(model: onnx.ModelProto) -> None:
    """Replaces GatherBlockQuantized on the embedding by operators that every runtime has."""
    graph = model.graph
    gather = next((node for node in graph.node if node.op_type == "GatherBlockQuantized"), None)
    if gather is None:
        return
    reshape = next(node for node in graph.node if node.output[0] == gather.input[0])
    if len(gather.input) > 3:
        raise ValueError("The table has zero points, which this lookup does not read.")
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    table, ids, scales, output = reshape.input[0], gather.input[1], gather.input[2], gather.output[0]
    _, blocks, half = tensors[table].dims
    block = 2 * half
    root = "/model/embed_tokens/"

    def constant(name: str, value: np.ndarray) -> str:
        graph.initializer.append(numpy_helper.from_array(value, root + name))
        return root + name

    def node(operator: str, name: str, inputs: list[str], **attributes: object) -> str:
        result = output if name == "Row" else f"{root}{name}/output_0"
        nodes.append(helper.make_node(operator, inputs, [result], root + name, **attributes))
        return result

    nodes: list[onnx.NodeProto] = []
    last = constant("last_axis", np.array([-1], np.int64))
    packed = node("Gather", "GatherPacked", [table, ids])
    low = node("BitwiseAnd", "Low", [packed, constant("low_bits", np.array(15, np.uint8))])
    high = node("BitShift", "High", [packed, constant("four_bits", np.array(4, np.uint8))], direction="RIGHT")
    pairs = node("Concat", "Pairs", [node("Unsqueeze", "LowColumn", [low, last]), node("Unsqueeze", "HighColumn", [high, last])], axis=-1)
    levels = node("Reshape", "Levels", [pairs, constant("levels_shape", np.array([0, 0, blocks, block], np.int64))])
    values = node("Cast", "Values", [levels], to=TensorProto.FLOAT)
    centred = node("Sub", "Centred", [values, constant("zero_point", np.array(8, np.float32))])
    scale = node("Unsqueeze", "ScaleColumn", [node("Gather", "GatherScales", [scales, ids]), last])
    scaled = node("Mul", "Scaled", [centred, scale])
    node("Reshape", "Row", [scaled, constant("row_shape", np.array([0, 0, blocks * block], np.int64))])

    kept: list[onnx.NodeProto] = []
    for old in graph.node:
        if old is gather:
            kept.extend(nodes)
        elif old is not reshape:
            kept.append(old)
    # The shape that only the Reshape read, as a node or as a tensor.
    read = {name for each in kept for name in each.input}
    shape = reshape.input[1]
    if shape not in read:
        kept = [each for each in kept if shape not in each.output]
        tensors_kept = [tensor for tensor in graph.initializer if tensor.name != shape]
        del graph.initializer[:]
        graph.initializer.extend(tensors_kept)
    del graph.node[:]
    graph.node.extend(kept)
