# SPDX-License-Identifier: MIT
"""HookedTransformer.generate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from vitrine.error import Error
from vitrine.transformer_lens.key_value_cache import HookedTransformerKeyValueCache
from vitrine.transformer_lens.predictions import sample_logits
from vitrine.transformer_lens.texts import get_attention_mask
from vitrine.transformer_lens.utils import USE_DEFAULT_VALUE, LocallyOverridenDefaults


@dataclass
class GenerateOutput:
    """Result with output_logits: tokens [batch, pos], and the logits [batch, d_vocab] of each step."""

    sequences: torch.Tensor
    logits: tuple[torch.Tensor, ...]


@dataclass
class _Choice:
    """How the next token is chosen."""

    do_sample: bool
    top_k: int | None
    top_p: float | None
    temperature: float
    freq_penalty: float

    def next(self, logits: torch.Tensor, tokens: torch.Tensor | None) -> torch.Tensor:
        """A token [batch] for each row of logits."""
        if not self.do_sample:
            return logits.argmax(-1)
        return sample_logits(
            logits,
            top_k=self.top_k,
            top_p=self.top_p,
            temperature=self.temperature,
            freq_penalty=self.freq_penalty,
            tokens=tokens,
        )


class Generation:
    """How a HookedTransformer continues a text. Hooks are called in every pass."""

    cfg: Any
    tokenizer: Any
    W_E: torch.Tensor
    W_pos: torch.Tensor

    @torch.no_grad()
    def generate(
        self,
        input: Any = "",
        max_new_tokens: int = 10,
        stop_at_eos: bool = True,
        eos_token_id: int | Sequence[int] | None = None,
        do_sample: bool = True,
        top_k: int | None = None,
        top_p: float | None = None,
        temperature: float = 1.0,
        freq_penalty: float = 0.0,
        use_past_kv_cache: bool = True,
        prepend_bos: bool | None = USE_DEFAULT_VALUE,
        padding_side: str | None = USE_DEFAULT_VALUE,
        return_type: str | None = "input",
        verbose: bool = True,
        output_logits: bool = False,
        return_dict_in_generate: bool = False,
    ) -> Any:
        """A text, several, tokens [batch, pos] or embeddings [batch, pos, d_model], with their continuations.

        `return_type`: "str", "tokens", "embeds", or "input" for what the input is. Sampling uses torch's
        generator. A sequence that has ended is filled with the end token. Several texts are padded left.
        `verbose`: progress by tqdm, where it is installed. `output_logits`: a GenerateOutput instead.
        """
        assert return_type in ("input", "str", "tokens", "embeds"), (
            "return_type must be one of ['input', 'str', 'tokens', 'embeds']"
        )
        if return_dict_in_generate and not output_logits:
            raise Error("return_dict_in_generate needs output_logits=True")
        is_text = isinstance(input, str) or (isinstance(input, list) and all(isinstance(text, str) for text in input))
        assert is_text or isinstance(input, torch.Tensor), "Input must be either string, torch.Tensor, or List[str]"
        if return_type == "input":
            return_type = "str" if is_text else "tokens" if input.ndim == 2 else "embeds"
        choice = _Choice(do_sample, top_k, top_p, temperature, freq_penalty)
        with LocallyOverridenDefaults(self, prepend_bos=prepend_bos, padding_side=padding_side):
            given, mask = self._given(input)
            steps = self._steps(
                given, mask, max_new_tokens, choice, self._ends(stop_at_eos, eos_token_id), use_past_kv_cache, verbose
            )
            found = list(steps)
            return self._result(given, found, return_type, output_logits)

    @torch.no_grad()
    def generate_stream(
        self,
        input: Any = "",
        max_new_tokens: int = 10,
        max_tokens_per_yield: int = 25,
        stop_at_eos: bool = True,
        eos_token_id: int | Sequence[int] | None = None,
        do_sample: bool = True,
        top_k: int | None = None,
        top_p: float | None = None,
        temperature: float = 1.0,
        freq_penalty: float = 0.0,
        use_past_kv_cache: bool = True,
        prepend_bos: bool | None = USE_DEFAULT_VALUE,
        padding_side: str | None = USE_DEFAULT_VALUE,
        return_type: str | None = "input",
        verbose: bool = True,
    ) -> Iterator[torch.Tensor]:
        """Yields tokens [batch, n] as they come, at least `max_tokens_per_yield` of them; the first ones with the prompt."""
        if return_type not in ("input", "tensor"):
            raise Error(
                f"return_type={return_type!r} is not supported: tokens are yielded, and to_string() decodes them"
            )
        choice = _Choice(do_sample, top_k, top_p, temperature, freq_penalty)
        with LocallyOverridenDefaults(self, prepend_bos=prepend_bos, padding_side=padding_side):
            given, mask = self._given(input)
            steps = self._steps(
                given, mask, max_new_tokens, choice, self._ends(stop_at_eos, eos_token_id), use_past_kv_cache, verbose
            )
            held = given
            for tokens, _ in steps:
                held = torch.cat([held, tokens[:, None]], dim=1)
                if held.shape[1] >= max_tokens_per_yield:
                    yield held
                    held = held[:, :0]
            if held.shape[1]:
                yield held

    def _given(self, input: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Tokens [batch, pos] or embeddings [batch, pos, d_model], and the tokens' mask."""
        batched = isinstance(input, list) and len(input) > 1
        side = "left" if batched else None
        if isinstance(input, (str, list)):
            assert self.tokenizer is not None, "Must provide a tokenizer if passing a string to the model"
            input = self.to_tokens(input, padding_side=side)  # type: ignore[attr-defined]
        input = input.to(self.cfg.device)
        if input.ndim == 3:
            return input, None
        if self.tokenizer is None:
            return input, torch.ones_like(input)
        return input, get_attention_mask(self.tokenizer, input, self.cfg.default_prepend_bos, side)

    def _ends(self, stop_at_eos: bool, eos_token_id: int | Sequence[int] | None) -> list[int]:
        """The tokens that end a sequence; the first one fills it."""
        own = None if self.tokenizer is None else self.tokenizer.eos_token_id
        if not stop_at_eos:
            return []
        if eos_token_id is None:
            assert own is not None, (
                "Must pass a eos_token_id if stop_at_eos is True and tokenizer is None or has no eos_token_id"
            )
            return [int(own)]
        if isinstance(eos_token_id, int):
            return [eos_token_id]
        ends = [int(token) for token in eos_token_id]
        return ends if own is None or own not in ends else [int(own), *(token for token in ends if token != own)]

    def _steps(
        self,
        given: torch.Tensor,
        mask: torch.Tensor | None,
        count: int,
        choice: _Choice,
        ends: list[int],
        use_cache: bool,
        verbose: bool,
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Each new token [batch] with the logits [batch, d_vocab] that it was chosen from."""
        cache = HookedTransformerKeyValueCache.init_cache(self.cfg, None, len(given)) if use_cache else None
        if cache is not None:
            cache.has_entries = False
        finished = torch.zeros(len(given), dtype=torch.bool, device=given.device)
        is_tokens = given.ndim == 2
        mask = torch.ones(given.shape[:2], dtype=torch.int64, device=given.device) if mask is None else mask
        rest = given
        for step in _progress(count, verbose):
            logits = self._next_logits(rest, mask, cache)
            new = choice.next(logits, given if is_tokens else None).to(given.device)
            if ends:
                new[finished] = ends[0]
                finished |= torch.isin(new, torch.tensor(ends, device=new.device))
            yield new, logits
            if (ends and bool(finished.all())) or step == count - 1:
                return
            added = new[:, None] if is_tokens else self.W_E[new][:, None]
            given = torch.cat([given, added], dim=1)
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
            rest = added if use_cache else given

    def _next_logits(
        self, rest: torch.Tensor, mask: torch.Tensor, cache: HookedTransformerKeyValueCache | None
    ) -> torch.Tensor:
        run = self._run  # type: ignore[attr-defined]
        tokens, residual = (rest, None) if rest.ndim == 2 else (None, self._with_positions(rest, mask))
        out: torch.Tensor = run(tokens, residual, 0, None, mask, cache, "last")
        return out[:, -1]

    def _with_positions(self, embeds: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        past = mask.shape[1] - embeds.shape[1]
        return embeds + self.W_pos[past : mask.shape[1]]

    def _result(
        self, given: torch.Tensor, found: list[tuple[torch.Tensor, torch.Tensor]], return_type: str, output_logits: bool
    ) -> Any:
        new = torch.stack([tokens for tokens, _ in found], dim=1) if found else given.new_zeros((len(given), 0))
        if given.ndim == 3 and return_type == "embeds":
            return torch.cat([given, self.W_E[new.long()]], dim=1)
        if return_type == "embeds":
            return self.W_E[torch.cat([given, new], dim=1)]
        tokens = new if given.ndim == 3 else torch.cat([given, new], dim=1)
        if output_logits:
            return GenerateOutput(tokens, tuple(logits for _, logits in found))
        if return_type == "tokens":
            return tokens
        texts = [self.tokenizer.decode(row, skip_special_tokens=True) for row in tokens]
        return texts[0] if len(texts) == 1 else texts


def _progress(count: int, verbose: bool) -> Any:
    """range(count), shown by tqdm where it is installed."""
    if verbose:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return range(count)
        return tqdm(range(count))
    return range(count)
