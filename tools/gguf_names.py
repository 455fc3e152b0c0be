# SPDX-License-Identifier: MIT
"""GPT-2's parameters as GGUF files hold them."""


def gguf_tensors(state):
    """GPT-2's tensors under llama.cpp's names; its matrices are [out, in] there."""
    outer = {"wte.weight": "token_embd.weight", "wpe.weight": "position_embd.weight", "ln_f.weight": "output_norm.weight",
             "ln_f.bias": "output_norm.bias", "lm_head.weight": "output.weight"}
    block = {"ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm", "mlp.c_fc": "ffn_up",
             "mlp.c_proj": "ffn_down"}
    for name, tensor in state.items():
        name = name.removeprefix("transformer.")
        if name in outer:
            yield outer[name], tensor
            continue
        _, layer, rest = name.split(".", 2)
        module, kind = rest.rsplit(".", 1)
        yield f"blk.{layer}.{block[module]}.{kind}", tensor.t().contiguous() if tensor.dim() == 2 else tensor
