"""Reads an exported student back: int4 words to float weights, and a session for comparison."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import numpy_helper

from llama import Config, Llama

PARTS = {"q_proj": "self_attn", "k_proj": "self_attn", "v_proj": "self_attn", "o_proj": "self_attn",
         "gate_proj": "mlp", "up_proj": "mlp", "down_proj": "mlp"}


def dequantise(words: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """words [N, K/32, 16] uint8, low nibble first; zero point 8; scales [N, K/32] or flat."""
    n, blocks, _ = words.shape
    q = np.stack([words & 15, words >> 4], -1).reshape(n, blocks, 32).astype(np.float64) - 8
    return (q * scales.reshape(n, blocks, 1).astype(np.float64)).reshape(n, blocks * 32)


def load_dequantised(folder: Path, dtype: torch.dtype = torch.float64) -> Llama:
    graph = onnx.load(str(folder / "onnx" / "model_q4.onnx")).graph
    init = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    raw = json.loads((folder / "config.json").read_text())
    model = Llama(Config(**{k: raw[k] for k in Config.__dataclass_fields__}))
    state: dict[str, np.ndarray] = {"model.embed_tokens.weight": init["model.embed_tokens.weight"]}
    for node in graph.node:
        if node.op_type == "MatMulNBits":
            w = dequantise(init[node.input[1]], init[node.input[2]])
            pieces = node.name.strip("/").split("/")
            if pieces[0] == "lm_head":
                state["lm_head.weight"] = w
            else:
                layer, part = pieces[1].split(".")[1], pieces[3]
                state[f"model.layers.{layer}.{PARTS[part]}.{part}.weight"] = w
    L = model.c.num_hidden_layers
    for i in range(L):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            state[f"model.layers.{i}.{norm}.weight"] = init[f"model.layers.{i}.{norm}.weight"]
    state["model.norm.weight"] = init[f"model.layers.{L}.final_norm_layernorm.weight"]
    model = model.to(dtype)
    model.load_state_dict({k: torch.tensor(v, dtype=dtype) for k, v in state.items()})
    model.cos = torch.tensor(init["cos_cache"]).to(dtype)
    model.sin = torch.tensor(init["sin_cache"]).to(dtype)
    return model.eval().requires_grad_(False)


def session(folder: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(folder / "onnx" / "model_q4.onnx"), options, providers=["CPUExecutionProvider"])


def run_session(s: ort.InferenceSession, ids: list[int], past: list[tuple[np.ndarray, np.ndarray]] | None, config: Config):
    """Logits [T, V]; past is (key, value) [n_kv, n, head_dim] per layer or None."""
    n = past[0][0].shape[1] if past else 0
    feeds: dict[str, np.ndarray] = {
        "input_ids": np.array([ids], dtype=np.int64),
        "attention_mask": np.ones((1, n + len(ids)), dtype=np.int64),
        "position_ids": np.arange(n, n + len(ids), dtype=np.int64)[None],
    }
    for i in range(config.num_hidden_layers):
        empty = np.zeros((config.num_key_value_heads, 0, config.head_dim), dtype=np.float32)
        k, v = past[i] if past else (empty, empty)
        feeds[f"past_key_values.{i}.key"] = k[None].astype(np.float32)
        feeds[f"past_key_values.{i}.value"] = v[None].astype(np.float32)
    return s.run(["logits"], feeds)[0][0]
