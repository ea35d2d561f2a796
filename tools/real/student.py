"""A 4-bit student of this site as a plain PyTorch model: its ONNX file's weights, dequantised.

Reads what `npm run models -- add` writes into public/models/ID (parts, config, tokenizer, template), so that
what PyTorch computes and what the engine computes differ by rounding alone.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from transformers import AutoConfig, AutoTokenizer, LlamaForCausalLM


def read_graph(folder: Path) -> onnx.GraphProto:
    """The 4-bit ONNX file, joined from its parts where it lies in parts."""
    whole = folder / "onnx" / "model_q4.onnx"
    parts = [whole] if whole.exists() else sorted(folder.glob("onnx/model_q4.onnx.part*"))
    if not parts:
        raise FileNotFoundError(f"{folder} has no onnx/model_q4.onnx: npm run models -- add {folder.name}")
    return onnx.load(io.BytesIO(b"".join(part.read_bytes() for part in parts))).graph


def dequantise(words: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """[N, K] float32 from words [N, K/block, block/2] (low nibble first, zero point 8) and a scale a block."""
    rows, blocks, half = words.shape
    levels = np.stack([words & 15, words >> 4], -1).reshape(rows, blocks, 2 * half).astype(np.float32) - 8
    return (levels * scales.reshape(rows, blocks, 1).astype(np.float32)).reshape(rows, blocks * 2 * half)


def load_student(folder: Path, dtype: torch.dtype = torch.float32) -> tuple[LlamaForCausalLM, AutoTokenizer]:
    """Model (frozen, eval) and tokenizer of a Llama that the builder exported with packed q, k, v."""
    graph = read_graph(folder)
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    config = AutoConfig.from_pretrained(folder)
    config.tie_word_embeddings = False
    kv = config.num_key_value_heads * (config.hidden_size // config.num_attention_heads)
    state: dict[str, np.ndarray] = {}
    for node in graph.node:
        if node.op_type != "MatMulNBits":
            continue
        weight = dequantise(*(numpy_helper.to_array(tensors[name]) for name in node.input[1:3]))
        name = node.input[1].removesuffix(".MatMul.weight_Q4")
        if name == "lm_head":
            state["lm_head.weight"] = state["model.embed_tokens.weight"] = weight
        elif name.endswith("qkv_proj"):
            root = name.removesuffix("attn.qkv_proj") + "self_attn."
            q, k, v = np.split(weight, [config.hidden_size, config.hidden_size + kv])
            state |= {f"{root}q_proj.weight": q, f"{root}k_proj.weight": k, f"{root}v_proj.weight": v}
        else:
            state[name.replace(".attn.", ".self_attn.") + ".weight"] = weight
    last = config.num_hidden_layers
    for name, tensor in tensors.items():
        if name.endswith("layernorm.weight"):
            target = name.replace(f"model.layers.{last}.final_norm_layernorm", "model.norm")
            state[target] = numpy_helper.to_array(tensor)
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model = model.to_empty(device="cpu").to(dtype)
    # Rotary frequencies are no part of the state; a fresh module computes them.
    model.model.rotary_emb = type(model.model.rotary_emb)(config=config)
    missing = model.load_state_dict({key: torch.tensor(value, dtype=dtype) for key, value in state.items()}, strict=False)
    if missing.missing_keys or missing.unexpected_keys:
        raise ValueError(f"{folder} is no Llama that this reads: {missing.missing_keys[:3]}, {missing.unexpected_keys[:3]}")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.padding_side = "left"
    return model.eval().requires_grad_(False), tokenizer


def chat_ids(tokenizer, prompt: str) -> list[int]:
    """A question as the page asks it: the chat template, then the assistant's turn opened."""
    text = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def stop_ids(folder: Path) -> list[int]:
    """The ids that end an answer, from generation_config.json."""
    ends = json.loads((folder / "generation_config.json").read_text())["eos_token_id"]
    return ends if isinstance(ends, list) else [ends]
