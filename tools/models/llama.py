"""A small Llama in plain PyTorch, named like transformers' LlamaForCausalLM.

It exists beside transformers' own because training needs fake int4 weights, generation needs a
batched prefix, and the goldens need float64 with the exporter's cos/sin caches.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class Config:
    vocab_size: int = 2048
    hidden_size: int = 128
    intermediate_size: int = 384
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    max_position_embeddings: int = 512
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    def hf(self) -> dict:
        return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
                "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False, "head_dim": self.head_dim,
                "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32", **asdict(self)}


def int4_block32(w: Tensor) -> Tensor:
    """Round-trip through onnxruntime's symmetric int4: scale = signed absmax / -8 per 32 inputs."""
    blocks = w.reshape(w.shape[0], -1, 32)
    at = blocks.abs().argmax(-1, keepdim=True)
    scale = blocks.gather(-1, at) / -8
    inverse = torch.where(scale == 0, torch.zeros_like(scale), 1 / scale)
    q = torch.clamp(torch.round(blocks * inverse), -8, 7)
    return (q * scale).reshape(w.shape)


class Int4Linear(nn.Linear):
    """nn.Linear without bias whose weight is seen through int4 when `fake` is on (straight-through)."""

    fake = False

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight
        if Int4Linear.fake:
            w = w + (int4_block32(w) - w).detach()
        return F.linear(x, w)


class RMSNorm(nn.Module):
    def __init__(self, dim: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x [B, H, T, head_dim]; cos, sin [B or 1, 1, T, head_dim/2]; half-split rotation."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Attention(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        d, h = c.hidden_size, c.head_dim
        self.q_proj = Int4Linear(d, c.num_attention_heads * h, bias=False)
        self.k_proj = Int4Linear(d, c.num_key_value_heads * h, bias=False)
        self.v_proj = Int4Linear(d, c.num_key_value_heads * h, bias=False)
        self.o_proj = Int4Linear(c.num_attention_heads * h, d, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, past, mask):
        B, T, _ = x.shape
        c = self.c
        shape = (B, T, -1, c.head_dim)
        q = rotate(self.q_proj(x).view(shape).transpose(1, 2), cos, sin)
        k = rotate(self.k_proj(x).view(shape).transpose(1, 2), cos, sin)
        v = self.v_proj(x).view(shape).transpose(1, 2)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        groups = c.num_attention_heads // c.num_key_value_heads
        kk, vv = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        y = F.scaled_dot_product_attention(q, kk, vv, attn_mask=mask, is_causal=mask is None and T > 1)
        return self.o_proj(y.transpose(1, 2).reshape(B, T, -1)), (k, v)


class MLP(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.gate_proj = Int4Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.up_proj = Int4Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.down_proj = Int4Linear(c.intermediate_size, c.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.self_attn = Attention(c)
        self.mlp = MLP(c)
        self.input_layernorm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(c.hidden_size, c.rms_norm_eps)

    def forward(self, x, cos, sin, past, mask):
        y, kv = self.self_attn(self.input_layernorm(x), cos, sin, past, mask)
        x = x + y
        return x + self.mlp(self.post_attention_layernorm(x)), kv


class Body(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.embed_tokens = nn.Embedding(c.vocab_size, c.hidden_size)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.num_hidden_layers))
        self.norm = RMSNorm(c.hidden_size, c.rms_norm_eps)


class Llama(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        self.model = Body(c)
        self.lm_head = Int4Linear(c.hidden_size, c.vocab_size, bias=False)
        self.apply(self._init)
        inv = 1.0 / (c.rope_theta ** (torch.arange(0, c.head_dim, 2, dtype=torch.float32) / c.head_dim))
        angle = torch.outer(torch.arange(c.max_position_embeddings, dtype=torch.float32), inv)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def _init(self, m: nn.Module) -> None:
        if isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, std=1 / math.sqrt(m.in_features))
            if m is self.lm_head:
                nn.init.normal_(m.weight, std=0.02)
        if isinstance(m, nn.Embedding):
            nn.init.normal_(m.weight, std=0.5)

    def hidden(self, x: Tensor, positions: Tensor | None = None, past=None, mask: Tensor | None = None):
        """Embeddings [B, T, d] to final normed hidden states; positions [B or 1, T]; mask is boolean."""
        start = past[0][0].shape[2] if past else 0
        if positions is None:
            positions = torch.arange(start, start + x.shape[1])[None]
        cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]
        if mask is None and past is not None:
            total = start + x.shape[1]
            mask = (torch.arange(total)[None] <= torch.arange(start, total)[:, None])[None, None]
        out = []
        for i, layer in enumerate(self.model.layers):
            x, kv = layer(x, cos, sin, past[i] if past else None, mask)
            out.append(kv)
        return self.model.norm(x), out

    def embed(self, ids: Tensor) -> Tensor:
        return self.model.embed_tokens(ids)

    def quantised(self) -> "Llama":
        """A frozen copy whose linear weights went through int4."""
        copy = Llama(self.c)
        copy.load_state_dict(self.state_dict())
        with torch.no_grad():
            for m in copy.modules():
                if isinstance(m, Int4Linear):
                    m.weight.copy_(int4_block32(m.weight))
        return copy.eval().requires_grad_(False)


@torch.no_grad()
def generate(model: Llama, prompts: list[list[int]], seed: int, soft: Tensor | None = None, max_new: int = 48,
             temperature: float = 1.0, batch: int = 250, eos: int = 2) -> list[list[int]]:
    """Samples one response a prompt (temperature 0 is greedy); `soft` [n, d] stands before BOS."""
    out: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    g = torch.Generator().manual_seed(seed)
    n = 0 if soft is None else soft.shape[0]
    prefix = None if soft is None else model.hidden(soft[None])[1]
    for at in range(0, len(order), batch):
        rows = order[at:at + batch]
        B, T = len(rows), max(len(prompts[i]) for i in rows)
        ids = torch.zeros(B, T, dtype=torch.long)
        real = torch.zeros(B, T, dtype=torch.bool)
        for r, i in enumerate(rows):
            ids[r, T - len(prompts[i]):] = torch.tensor(prompts[i])
            real[r, T - len(prompts[i]):] = True
        keep = torch.cat([torch.ones(B, n, dtype=torch.bool), real], 1)
        positions = (keep.cumsum(1) - 1).clamp(min=0)[:, n:]
        past = None if prefix is None else [(k.expand(B, -1, -1, -1), v.expand(B, -1, -1, -1)) for k, v in prefix]
        causal = torch.arange(n + T)[None] <= torch.arange(n, n + T)[:, None]
        # padding rows may look at themselves so that softmax stays finite
        mask = (keep[:, None, :] & causal[None]) | (torch.arange(n + T)[None] == torch.arange(n, n + T)[:, None])[None]
        h, past = model.hidden(model.embed(ids), positions, past, mask[:, None])
        h, position = h[:, -1:], positions[:, -1:] + 1
        done = torch.zeros(B, dtype=torch.bool)
        for _ in range(max_new):
            logits = model.lm_head(h[:, -1])
            if temperature == 0:
                token = logits.argmax(-1)
            else:
                token = torch.multinomial(F.softmax(logits / temperature, -1), 1, generator=g)[:, 0]
            for r, i in enumerate(rows):
                if not done[r]:
                    out[i].append(int(token[r]))
            done |= token == eos
            if bool(done.all()):
                break
            keep = torch.cat([keep, torch.ones(B, 1, dtype=torch.bool)], 1)
            h, past = model.hidden(model.embed(token[:, None]), position, past, keep[:, None, None])
            position = position + 1
    return out
