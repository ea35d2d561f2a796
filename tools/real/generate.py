"""Answers of a student, behind a soft prompt or without one, greedy or sampled, in batches."""

from __future__ import annotations

import torch


@torch.no_grad()
def generate(
    model, prompts: list[list[int]], *, stop: list[int], max_new_tokens: int, virtual: torch.Tensor | None = None,
    temperature: float = 0.0, seed: int = 0, batch: int = 48, forced: list[list[int]] | None = None,
) -> list[list[int]]:
    """Token ids of each answer, its end left out.

    virtual: [P, d] put before every prompt; forced: ids that each answer begins with (not in the result).
    temperature 0 is greedy.
    """
    generator = torch.Generator().manual_seed(seed)
    answers: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    for start in range(0, len(order), batch):
        part = order[start:start + batch]
        rows = [prompts[i] + (forced[i] if forced else []) for i in part]
        for i, ids in zip(part, _batch(model, rows, stop, max_new_tokens, virtual, temperature, generator), strict=True):
            answers[i] = ids
    return answers


def _batch(model, rows, stop, max_new_tokens, virtual, temperature, generator) -> list[list[int]]:
    embed = model.get_input_embeddings()
    prefix = 0 if virtual is None else len(virtual)
    width = prefix + max(map(len, rows))
    # Padding stands on the left; positions count from the first real column.
    inputs = torch.zeros(len(rows), width, model.config.hidden_size)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for b, ids in enumerate(rows):
        length = prefix + len(ids)
        values = embed(torch.tensor(ids))
        inputs[b, width - length:] = values if virtual is None else torch.cat([virtual, values])
        mask[b, width - length:] = 1
    out: list[list[int]] = [[] for _ in rows]
    alive = torch.ones(len(rows), dtype=torch.bool)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    step = model(inputs_embeds=inputs, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1)
    position = mask.sum(1, keepdim=True)
    for _ in range(max_new_tokens):
        logits = step.logits[:, -1]
        if temperature > 0:
            chosen = torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)[:, 0]
        else:
            chosen = logits.argmax(-1)
        for b, token in enumerate(chosen.tolist()):
            if alive[b] and token in stop:
                alive[b] = False
            elif alive[b]:
                out[b].append(token)
        if not alive.any():
            break
        mask = torch.cat([mask, torch.ones(len(rows), 1, dtype=torch.long)], 1)
        step = model(input_ids=chosen[:, None], attention_mask=mask, position_ids=position,
                     past_key_values=step.past_key_values, use_cache=True)
        position = position + 1
    return out
