# SPDX-License-Identifier: MIT
"""The engine's tokenizer with the names of transformers' tokenizers that users of TransformerLens call."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from vitrine._vitrine import Tokenizer as NativeTokenizer
from vitrine.error import Error


class Tokenizer:
    """Converts texts to ids and back. Padding is the end-of-text token, as in TransformerLens."""

    padding_side = "right"

    def __init__(self, native: NativeTokenizer, name_or_path: str) -> None:
        self.native = native
        self.name_or_path = name_or_path
        self.eos_token_id = native.end_of_text
        self.bos_token_id = native.end_of_text if native.begin_of_text is None else native.begin_of_text
        self.pad_token_id = self.eos_token_id
        self.vocab_size = native.vocab_size

    @property
    def eos_token(self) -> str | None:
        """Text of the token that ends a text."""
        return None if self.eos_token_id is None else self.native.token(self.eos_token_id)

    @property
    def bos_token(self) -> str | None:
        """Text of the token that begins a text."""
        return None if self.bos_token_id is None else self.native.token(self.bos_token_id)

    @property
    def pad_token(self) -> str | None:
        """Text of the token that fills rows."""
        return self.eos_token

    @cached_property
    def vocab(self) -> dict[str, int]:
        """Ids by the tokens' texts."""
        return {self.decode(i): i for i in range(self.vocab_size)}

    def get_vocab(self) -> dict[str, int]:
        """Ids by the tokens' texts."""
        return self.vocab

    def __len__(self) -> int:
        return self.vocab_size

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Ids of a text. No token is added to a GPT-2's text, with add_special_tokens or without."""
        return self.native.encode(text, special=True)

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool = False
    ) -> str:
        """The text of ids; bytes that are not UTF-8 become U+FFFD."""
        if clean_up_tokenization_spaces:
            raise Error("clean_up_tokenization_spaces is not supported: texts are decoded as they are")
        ids = [int(i) for i in np.asarray(token_ids).reshape(-1)]
        special = {self.eos_token_id, self.bos_token_id} if skip_special_tokens else set()
        text = self.native.decode([i for i in ids if i not in special])
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    def batch_decode(self, sequences: Any, **options: Any) -> list[str]:
        """The text of each row of ids; the options are decode()'s."""
        return [self.decode(row, **options) for row in sequences]

    def __call__(
        self,
        text: str | Sequence[str],
        return_tensors: str | None = None,
        padding: bool = False,
        truncation: bool = False,
        max_length: int | None = None,
        add_special_tokens: bool = True,
    ) -> dict[str, Any]:
        """input_ids and attention_mask of a text or of each text; tensors [B, P] with return_tensors="pt"."""
        texts = [text] if isinstance(text, str) else list(text)
        rows = [self.encode(one, add_special_tokens) for one in texts]
        if truncation and max_length is not None:
            rows = [row[:max_length] for row in rows]
        width = max(map(len, rows), default=0)
        masks = [[1] * len(row) for row in rows]
        if padding:
            rows = [self._filled(row, width, self.pad_token_id) for row in rows]
            masks = [self._filled(row, width, 0) for row in masks]
        found = {"input_ids": rows, "attention_mask": masks}
        if return_tensors == "pt":
            return {name: torch.tensor(values, dtype=torch.int64) for name, values in found.items()}
        if return_tensors is not None:
            raise Error(f"return_tensors={return_tensors!r} is not supported: expected 'pt' or None")
        return {name: values[0] for name, values in found.items()} if isinstance(text, str) else dict(found)

    def _filled(self, row: list[int], width: int, value: int | None) -> list[int]:
        if len(row) == width:
            return row
        if value is None:
            raise Error(
                f"texts of {len(row)} and {width} tokens need padding, and {self.name_or_path} has no end-of-text token"
            )
        fill = [value] * (width - len(row))
        return fill + row if self.padding_side == "left" else row + fill
