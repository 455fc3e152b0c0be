# SPDX-License-Identifier: MIT
"""Texts to tokens and back, with TransformerLens's conventions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from vitrine.transformer_lens.texts import get_input_with_manually_prepended_bos, get_tokens_with_bos_removed
from vitrine.transformer_lens.utils import USE_DEFAULT_VALUE, LocallyOverridenDefaults


class Tokens:
    """What a HookedTransformer does with texts. `prepend_bos` None is cfg.default_prepend_bos: True, also for GPT-2."""

    cfg: Any
    tokenizer: Any
    W_U: torch.Tensor

    def set_tokenizer(self, tokenizer: Any, default_padding_side: str | None = None) -> None:
        """Sets the tokenizer: one of transformers, or an object with its names."""
        assert default_padding_side in ("right", "left", None), (
            f"padding_side must be 'right', 'left' or 'None', got {default_padding_side}"
        )
        self.tokenizer = tokenizer
        if default_padding_side is not None:
            tokenizer.padding_side = default_padding_side
        if tokenizer.padding_side is None:
            tokenizer.padding_side = "right"
        self.cfg.tokenizer_prepends_bos = len(tokenizer.encode("")) > 0
        if tokenizer.eos_token is None:
            tokenizer.eos_token = "<|endoftext|>"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        if tokenizer.bos_token is None:
            tokenizer.bos_token = tokenizer.eos_token

    def to_tokens(
        self,
        input: str | list[str],
        prepend_bos: bool | None = USE_DEFAULT_VALUE,
        padding_side: str | None = USE_DEFAULT_VALUE,
        move_to_device: bool = True,
        truncate: bool = True,
    ) -> torch.Tensor:
        """Ids [batch, pos] of a text or several. `truncate`: at most n_ctx tokens."""
        with LocallyOverridenDefaults(self, prepend_bos=prepend_bos, padding_side=padding_side):
            assert self.tokenizer is not None, "Cannot use to_tokens without a tokenizer"
            if self.cfg.default_prepend_bos and not self.cfg.tokenizer_prepends_bos:
                input = get_input_with_manually_prepended_bos(self.tokenizer.bos_token, input)
            tokens: torch.Tensor = self.tokenizer(
                input,
                return_tensors="pt",
                padding=True,
                truncation=truncate,
                max_length=self.cfg.n_ctx if truncate else None,
            )["input_ids"]
            if tokens.ndim == 1:
                tokens = tokens[None]
            if not self.cfg.default_prepend_bos and self.cfg.tokenizer_prepends_bos:
                tokens = get_tokens_with_bos_removed(self.tokenizer, tokens)
            return tokens.to(self.cfg.device) if move_to_device else tokens

    def to_string(self, tokens: Any) -> Any:
        """The text of tokens [pos], or the texts of [batch, pos]."""
        assert self.tokenizer is not None, "Cannot use to_string without a tokenizer"
        ids = tokens if isinstance(tokens, torch.Tensor) else torch.tensor(tokens)
        if ids.ndim > 2:
            raise ValueError(f"Invalid shape passed in: {ids.shape}")
        if ids.ndim == 2:
            return self.tokenizer.batch_decode(ids.tolist(), clean_up_tokenization_spaces=False)
        return self.tokenizer.decode(ids.tolist(), clean_up_tokenization_spaces=False)

    def to_str_tokens(
        self,
        input: Any,
        prepend_bos: bool | None = USE_DEFAULT_VALUE,
        padding_side: str | None = USE_DEFAULT_VALUE,
    ) -> Any:
        """The text of each token of a text or of tokens [pos] or [1, pos]; of a list, a list of them."""
        assert self.tokenizer is not None, "Cannot use to_str_tokens without a tokenizer"
        if isinstance(input, list):
            return [self.to_str_tokens(item, prepend_bos, padding_side) for item in input]
        if isinstance(input, str):
            input = self.to_tokens(input, prepend_bos=prepend_bos, padding_side=padding_side)[0]
        if not isinstance(input, (torch.Tensor, np.ndarray)):
            raise ValueError(f"Invalid input type to to_str_tokens: {type(input)}")
        tokens = np.atleast_1d(np.asarray(input.tolist()).squeeze())
        assert tokens.ndim == 1, f"Invalid tokens input to to_str_tokens, has shape: {tokens.shape}"
        return self.tokenizer.batch_decode([[int(token)] for token in tokens], clean_up_tokenization_spaces=False)

    def to_single_token(self, string: str) -> int:
        """The id of a text that is one token; AssertionError if it is not."""
        token = self.to_tokens(string, prepend_bos=False).squeeze()
        assert not token.shape, f"Input string: {string} is not a single token!"
        return int(token.item())

    def to_single_str_token(self, int_token: int) -> str:
        """The text of one token."""
        assert isinstance(int_token, int)
        (text,) = self.to_str_tokens(torch.tensor([int_token]))
        return str(text)

    def get_token_position(
        self,
        single_token: str | int | torch.Tensor,
        input: Any,
        mode: str = "first",
        prepend_bos: bool | None = USE_DEFAULT_VALUE,
        padding_side: str | None = USE_DEFAULT_VALUE,
    ) -> int:
        """Position of the "first" or "last" occurrence of a token in a text or tokens [pos], [1, pos]."""
        tokens = (
            self.to_tokens(input, prepend_bos=prepend_bos, padding_side=padding_side)
            if isinstance(input, str)
            else input
        )
        if tokens.ndim == 2:
            assert tokens.shape[0] == 1, (
                f"If tokens are rank two, they must have shape [1, seq_len], not {tokens.shape}"
            )
            tokens = tokens[0]
        if isinstance(single_token, str):
            single_token = self.to_single_token(single_token)
        elif isinstance(single_token, torch.Tensor):
            single_token = int(single_token.item())
        indices = (tokens == single_token).nonzero()
        assert len(indices) > 0, "The token does not occur in the prompt"
        if mode not in ("first", "last"):
            raise ValueError(f"mode must be 'first' or 'last', not {mode}")
        return int(indices[0 if mode == "first" else -1].item())

    def tokens_to_residual_directions(self, tokens: str | int | torch.Tensor) -> torch.Tensor:
        """Columns of W_U: [d_model] of one token, otherwise [pos, d_model] or [batch, pos, d_model]."""
        if isinstance(tokens, torch.Tensor) and tokens.numel() > 1:
            return self.W_U[:, tokens].movedim(0, -1)
        if isinstance(tokens, str):
            tokens = self.to_single_token(tokens)
        elif isinstance(tokens, torch.Tensor):
            tokens = int(tokens.item())
        elif not isinstance(tokens, int):
            raise ValueError(f"Invalid token type: {type(tokens)}")
        return self.W_U[:, tokens]
