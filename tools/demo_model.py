# SPDX-License-Identifier: MIT
"""GPT-2 in plain PyTorch, with Hugging Face's names, shapes and arithmetic.

Pre-layernorm, GELU in its tanh form, learned positions, biases everywhere, output head tied to the
token embedding. The state dict has the names of `GPT2LMHeadModel` (without `lm_head`, which is tied),
so that saving is a plain copy.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save
from torch import Tensor, nn


@dataclass(frozen=True)
class Config:
    vocab_size: int = 4096
    n_positions: int = 256
    n_embd: int = 256
    n_layer: int = 6
    n_head: int = 4
    eps: float = 1e-5


class Conv1D(nn.Module):
    """A linear layer whose weight lies [in, out], as GPT-2's checkpoints have it."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x.reshape(-1, x.shape[-1]), self.weight).view(*x.shape[:-1], -1)


class Attention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.c_attn = Conv1D(config.n_embd, 3 * config.n_embd)
        self.c_proj = Conv1D(config.n_embd, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        rows, length, width = x.shape
        q, k, v = (part.view(rows, length, self.n_head, -1).transpose(1, 2)
                   for part in self.c_attn(x).split(width, dim=-1))
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(z.transpose(1, 2).reshape(rows, length, width))


class MLP(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.c_fc = Conv1D(config.n_embd, 4 * config.n_embd)
        self.c_proj = Conv1D(4 * config.n_embd, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, config.eps)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, config.eps)
        self.mlp = MLP(config)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, config.eps)


class GPT2(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                # GPT-2 scales the two projections of a block that write to the residual stream.
                scale = (2 * config.n_layer) ** -0.5 if name.endswith("c_proj.weight") else 1.0
                nn.init.normal_(parameter, std=0.02 * scale)

    def residuals(self, ids: Tensor) -> list[Tensor]:
        """h_0 (after the embeddings) to h_L (after the last block), before ln_f."""
        body = self.transformer
        x = body.wte(ids) + body.wpe(torch.arange(ids.shape[1], device=ids.device))
        out = [x]
        for block in body.h:
            x = block(x)
            out.append(x)
        return out

    def unembed(self, x: Tensor) -> Tensor:
        return F.linear(x, self.transformer.wte.weight)

    def forward(self, ids: Tensor) -> Tensor:
        return self.unembed(self.transformer.ln_f(self.residuals(ids)[-1]))


def save_pretrained(model: GPT2, end_of_text: int, folder: Path) -> None:
    """Writes config.json and a float16 model.safetensors as Hugging Face would."""
    c = model.config
    fields = {
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "activation_function": "gelu_new",
        "vocab_size": c.vocab_size, "n_positions": c.n_positions, "n_ctx": c.n_positions,
        "n_embd": c.n_embd, "n_layer": c.n_layer, "n_head": c.n_head, "n_inner": None,
        "layer_norm_epsilon": c.eps, "initializer_range": 0.02, "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False, "reorder_and_upcast_attn": False,
        "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0, "tie_word_embeddings": True,
        "bos_token_id": end_of_text, "eos_token_id": end_of_text, "torch_dtype": "float16",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(fields, indent=2) + "\n")
    tensors = {k: v.detach().to("cpu", torch.float16).contiguous() for k, v in model.state_dict().items()}
    (folder / "model.safetensors").write_bytes(save(tensors, metadata={"format": "pt"}))


def load_pretrained(folder: Path) -> GPT2:
    """Reads what `save_pretrained` wrote; the arithmetic is float32."""
    fields = json.loads((folder / "config.json").read_text())
    fields["eps"] = fields["layer_norm_epsilon"]
    model = GPT2(Config(**{key: fields[key] for key in asdict(Config())}))
    model.load_state_dict({k: v.float() for k, v in load_file(folder / "model.safetensors").items()})
    return model.eval()
