"""`npm run models -- add OWNER/NAME` where a repository has safetensors only: export and all, from a false hub."""

import hashlib
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

ROOT = Path(__file__).resolve().parents[2]
POCKET = ROOT / "public" / "models" / "pocket"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
COMMIT = "a" * 40
SERVE = "import('./tests/hub-server.mjs').then(async ({ startHub }) => console.log((await startHub()).url))"


@pytest.fixture
def hub():
    server = subprocess.Popen(["node", "-e", SERVE], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    yield server.stdout.readline().strip()
    server.kill()
    server.wait()


def student() -> LlamaForCausalLM:
    words = json.loads((POCKET / "config.json").read_text())["vocab_size"]
    torch.manual_seed(5)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=words, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=128, tie_word_embeddings=True,
        bos_token_id=0, eos_token_id=1,
    )).eval()


def environment(tmp_path: Path, hub: str) -> dict[str, str]:
    """The command's own Python environment is this one: its requirements are among ours."""
    venv = tmp_path / "work" / "venv"
    (venv / "bin").mkdir(parents=True)
    python = venv / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    requirements = (ROOT / "tools" / "site-models" / "requirements.txt").read_bytes()
    (venv / ".requirements").write_text(hashlib.sha256(requirements).hexdigest())
    return {**os.environ, "HF_ENDPOINT": hub, "RETORT_MODELS": str(tmp_path / "models"),
            "RETORT_MODELS_WORK": str(tmp_path / "work")}


@pytest.mark.parametrize("shard", [None, "100KB"])
def test_safetensors_of_a_hub_become_a_student(tmp_path, hub, shard):
    source = tmp_path / "source"
    model = student()
    model.save_pretrained(source, **({"max_shard_size": shard} if shard else {}))
    folder = Path(os.path.relpath(source, ROOT / "tests" / "fixtures"))
    files = {path.name: {"fixture": str(folder / path.name)} for path in source.iterdir()}
    files |= {name: {"fixture": f"../../public/models/pocket/{name}"} for name in TOKENIZER}
    assert ("model.safetensors.index.json" in files) == (shard is not None)
    repository = {"repo": "tests/tiny", "commit": COMMIT, "files": files, "card": {"license": "mit"}}
    request = urllib.request.Request(f"{hub}/__hub/repo", json.dumps(repository).encode(), method="POST")
    urllib.request.urlopen(request).close()

    (tmp_path / "models").mkdir()
    command = ["node", "tools/models.mjs", "add", "tests/tiny"]
    done = subprocess.run(command, cwd=ROOT, env=environment(tmp_path, hub), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout

    added = tmp_path / "models" / "tiny"
    manifest = json.loads((added / "manifest.json").read_text())
    assert manifest["revision"] == COMMIT
    assert manifest["source"] == "hub:tests/tiny, safetensors"
    assert manifest["licence"] == "mit"
    assert manifest["parameters"] == sum(p.numel() for p in model.parameters())
    assert "onnxruntime-genai" in manifest["versions"]
    assert os.listdir(tmp_path / "work" / "hub") == []

    session = ort.InferenceSession(str(added / "onnx" / "model_q4.onnx"), providers=["CPUExecutionProvider"])
    ids = np.arange(3, 15, dtype=np.int64)[None]
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    for value in session.get_inputs():
        if value.name.startswith("past_key_values"):
            feeds[value.name] = np.zeros((1, 2, 0, 16), dtype=np.float32)
    logits = session.run(["logits"], feeds)[0][0]
    with torch.no_grad():
        expected = model(torch.from_numpy(ids)).logits[0].numpy()
    # Four bits of random weights keep the direction, not the digits.
    assert np.corrcoef(logits.ravel(), expected.ravel())[0, 1] > 0.95
