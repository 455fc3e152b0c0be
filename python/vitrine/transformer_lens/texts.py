# SPDX-License-Identifier: MIT
"""Tokenizers' conventions: data sets of equal rows, beginnings, padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vitrine.transformer_lens.tensors import get_cumsum_along_dim


def keep_single_column(dataset: Any, col_name: str) -> Any:
    """The data set (of the package `datasets`) with one column."""
    for key in list(dataset.features):
        if key != col_name:
            dataset = dataset.remove_columns(key)
    return dataset


def tokenize_and_concatenate(
    dataset: Any,
    tokenizer: Any,
    streaming: bool = False,
    max_length: int = 1024,
    column_name: str = "text",
    add_bos_token: bool = True,
    num_proc: int | None = 10,
    set_format: bool = True,
) -> Any:
    """Rows of `max_length` tokens from all texts of a data set, joined by the end-of-text token.

    `dataset` is one of the package `datasets`, `tokenizer` one of transformers. The result has the column
    "tokens"; what does not fill a row is dropped, a lone short row is padded. `streaming`: for data
    sets that take no `num_proc`. `set_format`: rows are torch tensors.
    """
    dataset = keep_single_column(dataset, column_name)
    padding_token = tokenizer.eos_token_id if tokenizer.pad_token is None else tokenizer.pad_token_id
    if tokenizer.pad_token is None:
        tokenizer.add_special_tokens({"pad_token": "<PAD>"})

    def tokenize(examples: Any) -> dict[str, npt.NDArray[np.int64]]:
        if tokenizer.eos_token is None:
            raise AssertionError("Tokenizer must have an EOS token.")
        tokens = _joined(tokenizer, examples[column_name])
        if not tokens.size:
            return {"tokens": tokens}
        rows = _rows(tokens, max_length - add_bos_token, padding_token)
        if add_bos_token:
            rows = np.concatenate([np.full((len(rows), 1), tokenizer.bos_token_id), rows], axis=1)
        return {"tokens": rows}

    workers = {} if streaming else {"num_proc": num_proc}
    warned = getattr(tokenizer, "deprecation_warnings", {})
    before = dict(warned)
    # Texts longer than the context are cut into rows, so transformers' warning does not apply.
    warned["sequence-length-is-longer-than-the-specified-maximum"] = True
    try:
        tokenized = dataset.map(tokenize, batched=True, remove_columns=[column_name], **workers)
    finally:
        warned.clear()
        warned.update(before)
    if set_format:
        tokenized.set_format(type="torch", columns=["tokens"])
    return tokenized


def _joined(tokenizer: Any, texts: Any) -> npt.NDArray[np.int64]:
    """Token ids of all texts with the end-of-text token between two."""
    if not texts:
        return np.array([], dtype=np.int64)
    pieces: list[list[int]] = []
    for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]:
        if pieces:
            pieces.append([tokenizer.eos_token_id])
        pieces.append(ids)
    return np.concatenate([np.asarray(piece, dtype=np.int64) for piece in pieces])


def _rows(tokens: npt.NDArray[np.int64], width: int, padding_token: int) -> npt.NDArray[np.int64]:
    if len(tokens) < width:
        tokens = np.concatenate([tokens, np.full(width - len(tokens), padding_token)])
    return tokens[: len(tokens) // width * width].reshape(-1, width)


def get_input_with_manually_prepended_bos(bos_token: str | None, input: str | list[str]) -> str | list[str]:
    """The text, or each text, with the beginning-of-text token's text before it."""
    if bos_token is None:
        return input
    return bos_token + input if isinstance(input, str) else [bos_token + text for text in input]


def get_tokens_with_bos_removed(tokenizer: Any, tokens: torch.Tensor, padding_side: str | None = None) -> torch.Tensor:
    """Tokens [batch, pos] without each row's beginning-of-text token: [batch, pos - 1]."""
    if tokenizer.bos_token_id is None:
        return tokens
    if (padding_side or tokenizer.padding_side) == "right":
        return tokens[..., 1:]
    if tokenizer.bos_token_id == tokenizer.pad_token_id:
        place = _leading(tokens.ne(tokenizer.pad_token_id)).sum(-1) - 1
    else:
        place = (tokens == tokenizer.bos_token_id).int().argmax(-1)
    kept = torch.ones_like(tokens, dtype=torch.bool).scatter(1, place[:, None], False)
    return tokens[kept].view(tokens.shape[0], tokens.shape[1] - 1)


def get_attention_mask(
    tokenizer: Any, tokens: torch.Tensor, prepend_bos: bool, padding_side: str | None = None
) -> torch.Tensor:
    """1 for tokens, 0 for padding at the padded side, in the shape and type of `tokens` [batch, pos]."""
    mask = torch.ones_like(tokens)
    if tokenizer is None:
        return mask
    is_token = tokens.ne(tokenizer.pad_token_id)
    if (padding_side or tokenizer.padding_side) == "right":
        mask[get_cumsum_along_dim(is_token, -1, reverse=True) == 0] = 0
        return mask
    padding = _leading(is_token)
    mask[padding] = 0
    if prepend_bos and tokenizer.bos_token_id == tokenizer.pad_token_id:
        mask[torch.arange(len(mask)), padding.sum(-1) - 1] = 1
    return mask


def _leading(is_token: torch.Tensor) -> torch.Tensor:
    """The places before each row's first token."""
    return get_cumsum_along_dim(is_token, -1) == 0
