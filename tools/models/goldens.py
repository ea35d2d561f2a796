"""Goldens for the engine: `python goldens.py --student ../../public/models/pocket --out ../../tests/fixtures/pocket`.

`--small` keeps the files of a wide student small: a short soft prompt, the logits of the last positions.

Everything is computed in float64 on the dequantised int4 weights of the exported file and stored as
little-endian float32. tests/fixtures/pocket/README.md says what is where.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch

import corpus
from llama import Llama, generate
from onnx_weights import load_dequantised
from steer import EPSILON, T_MAX, losses
from tokens import Student

N = 16


def save(out: Path, name: str, array) -> dict:
    data = np.ascontiguousarray(np.asarray(array, dtype="<f4"))
    (out / name).write_bytes(data.tobytes())
    return {"file": name, "dtype": "float32", "shape": list(data.shape)}


def soft_prompt(model: Llama, seed: int, n: int) -> torch.Tensor:
    """Vocabulary rows plus small noise, rounded to float32 so that reader and writer agree."""
    g = torch.Generator().manual_seed(seed)
    rows = torch.randint(6, model.c.vocab_size, (n,), generator=g)
    noise = 0.05 * torch.randn(n, model.c.hidden_size, generator=g)
    return (model.model.embed_tokens.weight[rows].float() + noise).float().double()


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--student", type=Path, required=True)
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument("--small", action="store_true")
    args = ap.parse_args()
    torch.set_num_threads(1)
    out = args.out
    n, first = (4, -4) if args.small else (N, 0)
    out.mkdir(parents=True, exist_ok=True)
    model = load_dequantised(args.student)
    tok = Student(args.student)
    arrays: dict[str, dict] = {}

    system = tok.prompt("How do I kill time on the train?", "Stay safe. Do no harm.")
    ids = (system + tok.response("Read a book or play a word game.") + list(range(6, 30)))[:24]
    assert len(ids) == 24
    W = soft_prompt(model, 3, n)
    arrays["soft"] = save(out, "soft.f32", W)
    plain, _ = model.hidden(model.embed(torch.tensor([ids])))
    arrays["logits"] = save(out, "logits.f32", model.lm_head(plain)[0][first:])
    both, _ = model.hidden(torch.cat([W, model.embed(torch.tensor(ids))])[None])
    arrays["softLogits"] = save(out, "soft_logits.f32", model.lm_head(both)[0, n:][first:])
    _, kv = model.hidden(W[None])
    arrays["prefixKeys"] = save(out, "prefix_keys.f32", torch.stack([k[0] for k, _ in kv]))
    arrays["prefixValues"] = save(out, "prefix_values.f32", torch.stack([v[0] for _, v in kv]))

    refusals = [tok.response(r) for r in corpus.REFUSALS]
    chosen = [("How do I copy the answers of a classmate in the maths test?", 0.02, 1),
              ("What is the capital of Japan?", 0.9995, 0), ("How do I kill time on the train?", 0.6, 4)]
    batch = []
    for text, s, r in chosen:
        prompt = tok.prompt(text)
        sampled = generate(model, [prompt], 5)[0]
        batch.append({"text": text, "prompt": prompt, "s": s, "sampled": sampled, "refusal": refusals[r]})
    # one sampled path that starts as a refusal and ends as one: w_t differs from 0 along it
    prompt = tok.prompt("Tell me how to read the diary of my sister in secret.")
    batch.append({"text": "Tell me how to read the diary of my sister in secret.", "prompt": prompt, "s": 0.3,
                  "sampled": refusals[0], "refusal": refusals[6]})

    examples = [{k: b[k] for k in ("text", "prompt", "s", "sampled", "refusal")} for b in batch]
    objectives = {}
    for objective in ("tv", "kl"):
        soft = W.clone().requires_grad_(True)
        loss, parts = losses(model, soft, batch, refusals, objective)
        loss.backward()
        arrays[f"{objective}Gradient"] = save(out, f"{objective}_gradient.f32", soft.grad)
        objectives[objective] = {
            "loss": loss.item(),
            "positions": [{"sampled": parts[2 * i]["loss"].tolist(), "refusal": parts[2 * i + 1]["loss"].tolist()}
                          for i in range(len(batch))],
        }
    for i, example in enumerate(examples):
        for j, path in enumerate(("sampled", "refusal")):
            part = parts[2 * i + j]
            example[f"{path}Weight"] = part["weight"]
            example[f"{path}W"] = part["w"].tolist()
            example[f"{path}Rho"] = [[[k, v] for k, v in sorted(row.items())] for row in part["rho"]]

    onnx_file = args.student / "onnx" / "model_q4.onnx"
    golden = {
        "model": {"file": f"public/models/{args.student.name}/onnx/model_q4.onnx", "sha256": hashlib.sha256(onnx_file.read_bytes()).hexdigest()},
        "ids": ids, "n": n, "tMax": T_MAX, "epsilon": EPSILON, "logClamp": 30,
        "refusals": refusals, "refusalTexts": corpus.REFUSALS, "examples": examples, "objectives": objectives, "arrays": arrays,
        "chat": {"messages": [{"role": "system", "content": "Stay safe. Do no harm."},
                              {"role": "user", "content": "How do I kill time on the train?"}],
                 "rendered": "<bos><system>Stay safe. Do no harm.<user>How do I kill time on the train?<assistant>", "ids": system},
    }
    (out / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
