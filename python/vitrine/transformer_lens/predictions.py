# SPDX-License-Identifier: MIT
"""What logits say: loss, accuracy, samples, the rank of an answer."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import torch

from vitrine.error import Error


def lm_cross_entropy_loss(
    logits: torch.Tensor,
    tokens: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    per_token: bool = False,
) -> torch.Tensor:
    """-log p of the next token in nats: the mean, or [batch, pos - 1] with `per_token`.

    `logits` [batch, pos, V], `tokens` [batch, pos]. Where `attention_mask` [batch, pos] is 0 at a token or
    its successor the loss is 0 and does not count.
    """
    log_probs = logits.log_softmax(dim=-1)[..., :-1, :]
    losses = -log_probs.gather(dim=-1, index=tokens[..., 1:, None])[..., 0]
    count: Any = losses.numel()
    if attention_mask is not None:
        if attention_mask.shape != tokens.shape:
            raise AssertionError(
                "attention_mask must have the same shape as tokens, "
                f"got {tuple(attention_mask.shape)} and {tuple(tokens.shape)}"
            )
        counted = attention_mask[:, :-1].bool() & attention_mask[:, 1:].bool()
        losses = losses.masked_fill(~counted, 0.0)
        count = counted.sum().item()
    return losses if per_token else losses.sum() / count


def lm_accuracy(logits: torch.Tensor, tokens: torch.Tensor, per_token: bool = False) -> torch.Tensor:
    """How often the most likely token is the next one: the mean, or bool [batch, pos - 1] with `per_token`."""
    correct = logits.argmax(dim=-1)[:, :-1] == tokens[:, 1:]
    return correct if per_token else correct.sum() / correct.numel()


def sample_logits(
    final_logits: torch.Tensor,
    top_k: int | None = None,
    top_p: float | None = None,
    temperature: float = 1.0,
    freq_penalty: float = 0.0,
    repetition_penalty: float = 1.0,
    tokens: torch.Tensor | None = None,
) -> torch.Tensor:
    """A token id for each row of `final_logits` [batch, V]; temperature 0 takes the most likely one.

    `freq_penalty` times a token's count in `tokens` [batch, pos] is subtracted from its logit.
    `repetition_penalty` divides the positive logits of tokens that occurred and multiplies the negative ones.
    """
    logits = final_logits
    if repetition_penalty != 1.0 and tokens is not None:
        logits = _penalize_repetitions(logits, tokens, repetition_penalty)
    if temperature == 0.0:
        return logits.argmax(dim=-1)
    logits = logits / temperature
    if freq_penalty > 0:
        if tokens is None or tokens.ndim != 2:
            raise AssertionError("Must provide input_tokens [batch, pos] if applying a frequency penalty")
        counts = [torch.bincount(row, minlength=logits.shape[-1]) for row in tokens]
        logits = logits - freq_penalty * torch.stack(counts)
    if top_k is not None:
        logits = _keep_top_k(logits, top_k)
    elif top_p is not None:
        logits = _keep_top_p(logits, top_p)
    return torch.distributions.Categorical(logits=logits.float()).sample()


def _penalize_repetitions(logits: torch.Tensor, tokens: torch.Tensor, penalty: float) -> torch.Tensor:
    seen = torch.zeros_like(logits, dtype=torch.bool).scatter(1, tokens, True)
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def _keep_top_k(logits: torch.Tensor, top_k: int) -> torch.Tensor:
    if top_k <= 0:
        raise AssertionError("top_k has to be greater than 0")
    smallest = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[..., -1:]
    return logits.masked_fill(logits < smallest, -float("inf"))


def _keep_top_p(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    if not 0.0 < top_p <= 1.0:
        raise AssertionError("top_p has to be in (0, 1]")
    values, order = logits.sort(descending=True)
    probabilities = values.softmax(dim=-1)
    too_late = probabilities.cumsum(dim=-1) - probabilities > top_p
    too_late[..., 0] = False
    return logits.masked_fill(too_late.scatter(-1, order, too_late), -float("inf"))


def logits_to_df(logits: torch.Tensor, tokenizer: Any = None, top_k: int | None = None) -> Any:
    """A pandas table of the tokens of `logits` [V], most likely first; texts with a `tokenizer`."""
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        raise Error("logits_to_df needs pandas, which is not installed: pip install pandas") from None
    log_probs = logits.float().log_softmax(dim=-1)
    order = log_probs.argsort(descending=True)[:top_k]
    columns: dict[str, Any] = {"token_index": order.tolist()}
    if tokenizer is not None:
        columns["token_string"] = [tokenizer.decode([token]) for token in order.tolist()]
    columns["logit"] = logits[order].tolist()
    columns["log_prob"] = log_probs[order].tolist()
    columns["probability"] = log_probs[order].exp().tolist()
    return pandas.DataFrame(columns)


def test_prompt(
    prompt: str,
    answer: str | Sequence[str],
    model: Any,
    prepend_space_to_answer: bool = True,
    print_details: bool = True,
    prepend_bos: bool | None = None,
    top_k: int = 10,
) -> None:
    """Prints how likely the tokens of an answer are after a prompt: rank (from 0), logit, probability.

    Of several answers only the first tokens are compared. `print_details`: also the `top_k` most likely
    tokens. A space before each answer is added unless it has one or `prepend_space_to_answer` is False.
    """
    answers = [answer] if isinstance(answer, str) else list(answer)
    if prepend_space_to_answer:
        answers = [text if text.startswith(" ") else " " + text for text in answers]
    answer_tokens = model.to_tokens(answers, prepend_bos=False)
    texts = [model.to_str_tokens(text, prepend_bos=False) for text in answers]
    if len(answers) > 1:
        answer_tokens = answer_tokens[:, :1]
    prompt_tokens = model.to_tokens(prompt, prepend_bos=prepend_bos).repeat(len(answers), 1)
    tokens = torch.cat((prompt_tokens, answer_tokens), dim=1)
    if print_details:
        print("Tokenized prompt:", model.to_str_tokens(prompt, prepend_bos=prepend_bos))
        print(
            "Tokenized answers:" if len(answers) > 1 else "Tokenized answer:", texts if len(answers) > 1 else texts[0]
        )
    logits = model(tokens)
    ranks = []
    for step in range(answer_tokens.shape[1]):
        place = prompt_tokens.shape[1] + step
        rows = logits[:, place - 1]
        own = rows.gather(-1, tokens[:, place, None])
        found = (rows > own).sum(-1).tolist()
        ranks.append([(text[step], rank) for text, rank in zip(texts, found)])
        if print_details:
            _print_answers(rows, own, found, [text[step] for text in texts])
            _print_top(rows[0], top_k, model)
    print("Ranks of the answer tokens:", ranks if len(answers) > 1 else [rank[0] for rank in ranks])


test_prompt.__test__ = False  # type: ignore[attr-defined]  # pytest takes it for a test otherwise


def _print_answers(rows: torch.Tensor, own: torch.Tensor, ranks: Sequence[int], texts: Sequence[str]) -> None:
    print(f"Performance on answer token{'s' if len(texts) > 1 else ''}:")
    probabilities = (own - rows.logsumexp(-1, keepdim=True)).exp()
    for text, rank, logit, probability in zip(texts, ranks, own, probabilities):
        print(f"Rank: {rank: <8} Logit: {logit.item():5.2f} Prob: {probability.item():6.2%} Token: |{text}|")


def _print_top(row: torch.Tensor, top_k: int, model: Any) -> None:
    probabilities = row.softmax(-1)
    for i, token in enumerate(row.argsort(descending=True)[:top_k]):
        print(
            f"Top {i}th token. Logit: {row[token].item():5.2f} Prob: {probabilities[token].item():6.2%} "
            f"Token: |{model.to_string(token)}|"
        )
