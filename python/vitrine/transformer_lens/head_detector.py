# SPDX-License-Identifier: MIT
"""Which attention heads look where: how well their patterns match one that is named or given."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union

import torch

from vitrine.transformer_lens.tensors import is_lower_triangular, is_square

HeadName = Literal["previous_token_head", "duplicate_token_head", "induction_head"]
ErrorMeasure = Literal["abs", "mul"]
Heads = Union["Sequence[tuple[int, int]]", "Mapping[int, Sequence[int]]"]

HEAD_NAMES: list[HeadName] = ["previous_token_head", "duplicate_token_head", "induction_head"]
INVALID_HEAD_NAME_ERR = f"detection_pattern must be a Tensor or one of head names: {HEAD_NAMES}; got %s"
SEQ_LEN_ERR = "The sequence must be non-empty and must fit within the model's context window."
DET_PAT_NOT_SQUARE_ERR = (
    "The detection pattern must be a lower triangular matrix of shape (sequence_length, sequence_length); "
    "sequence_length=%d; got detection pattern of shape %s"
)


def detect_head(
    model: Any,
    seq: str | list[str],
    detection_pattern: torch.Tensor | HeadName,
    heads: Heads | None = None,
    cache: Any = None,
    *,
    exclude_bos: bool = False,
    exclude_current_token: bool = False,
    error_measure: ErrorMeasure = "mul",
) -> torch.Tensor:
    """Scores [n_layers, n_heads] of how well heads match a pattern; -1 for heads that were not requested.

    `seq`: a text, or several for the mean of their scores (with the name of a pattern). `detection_pattern`:
    [pos, pos], lower triangular, or a name of HEAD_NAMES. `heads`: (layer, head) pairs, or heads by layer.
    `cache`: of the text, without the batch axis. `error_measure`: "mul" is the share of attention where the
    pattern is 1; "abs" is 1 - the mean sum of a row's differences. `exclude_bos`, `exclude_current_token`:
    without attention to the first token, or to the token itself.
    """
    if error_measure not in ("abs", "mul"):
        raise AssertionError(f"Invalid error_measure={error_measure}; valid values are ('abs', 'mul')")
    options: Any = {
        "exclude_bos": exclude_bos,
        "exclude_current_token": exclude_current_token,
        "error_measure": error_measure,
    }
    if isinstance(detection_pattern, str):
        if detection_pattern not in HEAD_NAMES:
            raise AssertionError(INVALID_HEAD_NAME_ERR % detection_pattern)
        if isinstance(seq, list):
            if cache is not None:
                raise ValueError("A cache is of one text: expected a text as `seq`, or no `cache`")
            scores = [detect_head(model, text, detection_pattern, heads, **options) for text in seq]
            return torch.stack(scores).mean(0)
    tokens = model.to_tokens(seq)
    length = tokens.shape[-1]
    if not 1 < length < model.cfg.n_ctx:
        raise AssertionError(SEQ_LEN_ERR)
    if isinstance(detection_pattern, str):
        pattern = _PATTERNS[detection_pattern](tokens.cpu())
    else:
        pattern = detection_pattern
    if error_measure == "mul" and not set(pattern.unique().tolist()) <= {0, 1}:
        logging.warning("Using detection pattern with values other than 0 or 1 with error_measure 'mul'")
    if not is_lower_triangular(pattern) or pattern.shape[0] != length:
        raise AssertionError(DET_PAT_NOT_SQUARE_ERR % (length, pattern.shape))
    if cache is None:
        names = [f"blocks.{layer}.attn.hook_pattern" for layer in _by_layer(model, heads)]
        _, cache = model.run_with_cache(tokens, remove_batch_dim=True, names_filter=names)
    matches = -torch.ones(model.cfg.n_layers, model.cfg.n_heads, dtype=model.cfg.dtype)
    for layer, chosen in _by_layer(model, heads).items():
        attention = cache["pattern", layer, "attn"]
        for head in chosen:
            matches[layer, head] = compute_head_attention_similarity_score(
                attention[head], pattern.to(attention.device), **options
            )
    return matches


def get_previous_token_head_detection_pattern(tokens: torch.Tensor) -> torch.Tensor:
    """[pos, pos]: each token looks at the one before it."""
    length = tokens.shape[-1]
    return torch.diag(torch.ones(length - 1), -1)


def get_duplicate_token_head_detection_pattern(tokens: torch.Tensor) -> torch.Tensor:
    """[pos, pos]: each token looks at its earlier occurrences."""
    row = tokens.reshape(-1, tokens.shape[-1])[0]
    return (row[:, None] == row[None]).float().tril(-1)


def get_induction_head_detection_pattern(tokens: torch.Tensor) -> torch.Tensor:
    """[pos, pos]: each token looks at what followed its earlier occurrences."""
    duplicates = get_duplicate_token_head_detection_pattern(tokens)
    shifted = torch.zeros_like(duplicates)
    shifted[:, 1:] = duplicates[:, :-1]
    return shifted.tril()


_PATTERNS = {
    "previous_token_head": get_previous_token_head_detection_pattern,
    "duplicate_token_head": get_duplicate_token_head_detection_pattern,
    "induction_head": get_induction_head_detection_pattern,
}


def get_supported_heads() -> None:
    """Prints the names of patterns."""
    print(f"Supported heads: {HEAD_NAMES}")


def compute_head_attention_similarity_score(
    attention_pattern: torch.Tensor,
    detection_pattern: torch.Tensor,
    *,
    exclude_bos: bool,
    exclude_current_token: bool,
    error_measure: ErrorMeasure,
) -> float:
    """The score of one head's pattern [pos, pos]; see detect_head()."""
    if not is_square(attention_pattern):
        raise AssertionError(f"Attention pattern is not square; got shape {attention_pattern.shape}")
    kept = torch.ones_like(attention_pattern)
    if exclude_bos:
        kept[:, 0] = 0
    if exclude_current_token:
        kept.fill_diagonal_(0)
    if error_measure == "mul":
        attention = attention_pattern * kept
        return float((attention * detection_pattern).sum() / attention.sum())
    differences = (attention_pattern - detection_pattern).abs() * kept
    return 1 - round(float(differences.mean() * len(differences)), 3)


def _by_layer(model: Any, heads: Heads | None) -> Mapping[int, Sequence[int]]:
    """Heads by layer; None is all."""
    if heads is None:
        return {layer: range(model.cfg.n_heads) for layer in range(model.cfg.n_layers)}
    if isinstance(heads, Mapping):
        return heads
    found: dict[int, list[int]] = {}
    for layer, head in heads:
        found.setdefault(layer, []).append(head)
    return found
