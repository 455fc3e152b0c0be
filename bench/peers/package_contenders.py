# SPDX-License-Identifier: MIT
"""What package_peer.py measures: the Python package, TransformerLens and nnsight at the same work, each as its own documents say it is done.

A contender's method does a workload and returns its own objects; those are what is timed. `arrays` of the result are for the comparison.
A workload that a contender lacks is left out.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

import peer
import vitrine


@dataclass(frozen=True)
class Work:
    """The prompts, as token ids, and what is done with them."""
    ids: list[int]
    corrupt: list[int]  # differs from ids in one token
    prompts: list[list[int]]  # short, of different lengths
    new_tokens: int
    answer: int
    wrong: int
    layer: int  # of the one site
    names: list[str]  # of everything

    @property
    def site(self) -> str:
        return f"blocks.{self.layer}.hook_resid_post"


def padded(prompts: list[list[int]]) -> torch.Tensor:
    """One rectangle, padded on the right: causal attention leaves the tokens before the padding as they are."""
    longest = max(map(len, prompts))
    return torch.tensor([prompt + [0] * (longest - len(prompt)) for prompt in prompts])


def numbered(vocab: int) -> PreTrainedTokenizerFast:
    """A tokenizer for any vocabulary. TransformerLens's cached generate takes positions from its tokenizer's mask, and wrong ones without."""
    words = WordLevel({str(i): i for i in range(vocab)}, unk_token="0")
    last = str(vocab - 1)
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(words), name_or_path="numbers", add_bos_token=True, bos_token=last,
                                   eos_token=last, pad_token=last)


class Vitrine:
    name = "vitrine"

    def __init__(self, folder: str, threads: int, work: Work, source: GPT2LMHeadModel) -> None:
        self.work = work
        self.model = vitrine.Model.load(folder, threads=threads)
        self.halve = vitrine.Edit.scale(work.site, 0.5)

    def everything(self):
        return self.model.run(self.work.ids, capture=self.work.names)

    def one_site(self):
        return self.model.run(self.work.ids, capture=self.work.site, logits="none")

    def decode(self):
        return self.model.generate(self.work.ids[:16], self.work.new_tokens, stop=[], edits=self.halve).ids

    def decode_function(self):
        def halve(values, place):
            values *= 0.5

        return self.model.generate(self.work.ids[:16], self.work.new_tokens, stop=[], edits=vitrine.Edit.function(self.work.site, halve)).ids

    def attribution(self):
        sites = "blocks.*.hook_resid_pre"
        clean = self.model.run(self.work.ids, capture=sites, logits="none")
        target = vitrine.Target.logit_difference(self.work.answer, self.work.wrong)
        found = self.model.gradients(self.work.corrupt, target, wrt=sites, capture=sites)
        return np.stack([((clean[name] - found.run[name]) * found[name]).sum(-1) for name in clean.captures])

    def short_prompts(self):
        return self.model.run(self.work.prompts, capture=self.work.site, logits="none")

    def arrays(self, workload: str, result) -> dict[str, np.ndarray]:
        if workload == "everything":
            return {name: result[name] for name in self.work.names} | {"logits": result.logits}
        if workload == "one_site":
            return {self.work.site: result[self.work.site]}
        if workload == "short_prompts":
            return {self.work.site: result.rows(self.work.site)}
        return {workload: np.asarray(result)}


class TransformerLens:
    name = "TransformerLens"

    def __init__(self, folder: str, threads: int, work: Work, source: GPT2LMHeadModel) -> None:
        from transformer_lens import HookedTransformer, HookedTransformerConfig
        from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights

        c = source.config
        config = HookedTransformerConfig(
            n_layers=c.n_layer, d_model=c.n_embd, n_ctx=c.n_positions, d_head=c.n_embd // c.n_head, n_heads=c.n_head, d_vocab=c.vocab_size,
            act_fn=c.activation_function, eps=c.layer_norm_epsilon, normalization_type="LN", original_architecture="GPT2LMHeadModel", device="cpu")
        self.model = HookedTransformer(config, tokenizer=numbered(c.vocab_size))
        self.model.load_and_process_state_dict(convert_gpt2_weights(source, config), fold_ln=False, center_writing_weights=False,
                                               center_unembed=False, fold_value_biases=False)
        self.model.eval().requires_grad_(False)
        self.take(work)

    def take(self, work: Work) -> None:
        self.work, self.ids, self.corrupt, self.padded = work, torch.tensor([work.ids]), torch.tensor([work.corrupt]), padded(work.prompts)

    @staticmethod
    def version() -> str:
        return importlib.metadata.version("transformer_lens")

    @torch.no_grad()
    def everything(self):
        return self.model.run_with_cache(self.ids)

    @torch.no_grad()
    def one_site(self):
        return self.model.run_with_cache(self.ids, names_filter=self.work.site, stop_at_layer=self.work.layer + 1)[1]

    @torch.no_grad()
    def decode(self):
        with self.model.hooks(fwd_hooks=[(self.work.site, lambda value, hook: value * 0.5)]):
            return self.model.generate(self.ids[:, :16], max_new_tokens=self.work.new_tokens, do_sample=False, stop_at_eos=False,
                                       prepend_bos=False, verbose=False)[0, 16:]

    decode_function = decode

    def attribution(self):
        wanted = [f"blocks.{layer}.hook_resid_pre" for layer in range(self.model.cfg.n_layers)]
        with torch.no_grad():
            clean = self.model.run_with_cache(self.ids, names_filter=wanted)[1]
        corrupt, gradients = {}, {}

        def keep(value, hook):
            corrupt[hook.name] = value.detach()
            return value.requires_grad_() if not value.requires_grad else None

        def keep_gradient(value, hook):
            gradients[hook.name] = value.detach()

        with torch.enable_grad(), self.model.hooks(fwd_hooks=[(name, keep) for name in wanted], bwd_hooks=[(name, keep_gradient) for name in wanted]):
            last = self.model(self.corrupt)[0, -1]
            (last[self.work.answer] - last[self.work.wrong]).backward()
        return torch.stack([((clean[name] - corrupt[name]) * gradients[name]).sum(-1)[0] for name in wanted])

    @torch.no_grad()
    def short_prompts(self):
        """In batches of 50."""
        return [self.model.run_with_cache(batch, names_filter=self.work.site, stop_at_layer=self.work.layer + 1)[1][self.work.site]
                for batch in self.padded.split(50)]

    def arrays(self, workload: str, result) -> dict[str, np.ndarray]:
        if workload == "everything":
            peer.require(set(result[1]) - set(self.work.names) == {"unembed.hook_in", "unembed.hook_out"}, "every site that was kept is compared")
            return {name: self.with_affine(name, result[1][name][0]).numpy() for name in self.work.names} | {"logits": result[0][0].numpy()}
        if workload == "one_site":
            return {self.work.site: result[self.work.site][0].numpy()}
        if workload == "short_prompts":
            rows = torch.cat(result).numpy()
            return {self.work.site: np.concatenate([row[:len(prompt)] for row, prompt in zip(rows, self.work.prompts)])}
        return {workload: np.asarray(result)}

    def with_affine(self, name: str, values: torch.Tensor) -> torch.Tensor:
        """hook_normalized is before the layernorm's weight and bias here, and after them there."""
        module, _, site = name.rpartition(".")
        layernorm = self.model.mod_dict[module] if site == "hook_normalized" else None
        return values * layernorm.w + layernorm.b if layernorm else values


class DropIn(TransformerLens):
    """TransformerLens's calls, by the package's own `vitrine.transformer_lens`."""
    name = "vitrine.transformer_lens"

    def __init__(self, folder: str, threads: int, work: Work, source: GPT2LMHeadModel) -> None:
        from vitrine.transformer_lens import HookedTransformer

        self.model = HookedTransformer.from_pretrained_no_processing(folder, default_prepend_bos=False)
        self.take(work)


class TransformerLensAll(TransformerLens):
    """The habit of many notebooks: everything is cached, and one site is read; one prompt at a time."""
    name = "TransformerLens, all names"
    decode = decode_function = attribution = everything = None

    @torch.no_grad()
    def one_site(self):
        return self.model.run_with_cache(self.ids)[1]

    @torch.no_grad()
    def short_prompts(self):
        return [self.model.run_with_cache(torch.tensor([prompt]), names_filter=self.work.site)[1][self.work.site][0] for prompt in self.work.prompts]

    def arrays(self, workload: str, result) -> dict[str, np.ndarray]:
        return {self.work.site: torch.cat(result).numpy()} if workload == "short_prompts" else super().arrays(workload, result)


class Nnsight:
    name = "nnsight"

    def __init__(self, folder: str, threads: int, work: Work, source: GPT2LMHeadModel) -> None:
        from nnsight import LanguageModel, NNsight

        self.work = work
        source.requires_grad_(False)
        self.model = NNsight(source)
        self.generating = LanguageModel(source, tokenizer=numbered(source.config.vocab_size))
        self.ids, self.corrupt, self.padded = torch.tensor([work.ids]), torch.tensor([work.corrupt]), padded(work.prompts)

    @staticmethod
    def version() -> str:
        return importlib.metadata.version("nnsight")

    @torch.no_grad()
    def everything(self):
        """The outputs of the modules: what lies between two modules, such as patterns, has no module there."""
        blocks = self.model.transformer.h
        with self.model.trace(self.ids):
            found = list().save()
            for block in blocks:
                for module in (block.ln_1, block.attn.c_attn, block.attn.c_proj, block.ln_2, block.mlp.c_fc, block.mlp.act, block.mlp, block):
                    found.append(module.output)
            logits = self.model.lm_head.output.save()
        return found, logits

    @torch.no_grad()
    def one_site(self):
        return self.residual(self.ids)

    def residual(self, ids):
        block = self.model.transformer.h[self.work.layer]
        with self.model.trace(ids) as tracer:
            value = block.output.save()
            tracer.stop()
        return value[0] if isinstance(value, tuple) else value

    @torch.no_grad()
    def decode(self):
        block, steps = self.generating.transformer.h[self.work.layer], self.work.new_tokens
        last = self.generating.config.vocab_size - 1
        with self.generating.generate(self.ids[:, :16], max_new_tokens=steps, do_sample=False, eos_token_id=None, pad_token_id=last) as tracer:
            for _ in tracer.iter[0:steps]:
                value = block.output
                (value[0] if isinstance(value, tuple) else value)[...] *= 0.5
            tokens = tracer.result.save()
        return tokens[0, 16:]

    decode_function = decode

    def attribution(self):
        blocks = self.model.transformer.h
        answer, wrong = self.work.answer, self.work.wrong
        with torch.no_grad(), self.model.trace(self.ids):
            clean = list().save()
            for block in blocks:
                clean.append(block.input)
        with torch.enable_grad(), self.model.trace(self.corrupt):
            corrupt, gradients = list().save(), list().save()
            for block in blocks:
                corrupt.append(block.input.requires_grad_() if not block.input.requires_grad else block.input)
            last = self.model.lm_head.output[0, -1]
            with (last[answer] - last[wrong]).backward():
                for value in corrupt[::-1]:
                    gradients.append(value.grad)
        return torch.stack([((a - b.detach()) * g).sum(-1)[0] for a, b, g in zip(clean, corrupt, gradients[::-1])])

    @torch.no_grad()
    def short_prompts(self):
        return [self.residual(batch) for batch in self.padded.split(50)]

    def arrays(self, workload: str, result) -> dict[str, np.ndarray]:
        if workload == "everything":
            residual = {f"blocks.{i}.hook_resid_post": value for i, value in enumerate(result[0][7::8])}
            first = {name: (value[0] if isinstance(value, tuple) else value)[0].numpy() for name, value in residual.items()}
            return first | {"logits": result[1][0].numpy()}
        if workload == "one_site":
            return {self.work.site: result[0].numpy()}
        if workload == "short_prompts":
            rows = torch.cat(result).numpy()
            return {self.work.site: np.concatenate([row[:len(prompt)] for row, prompt in zip(rows, self.work.prompts)])}
        return {workload: np.asarray(result)}


ALL = {"transformer_lens": [TransformerLens, TransformerLensAll], "nnsight": [Nnsight]}
