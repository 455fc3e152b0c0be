#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/engine/relatives: tiny models that become GPT-2s as they are read, each with the logits that the library
that defines it computes: LoRA adapters (PEFT), GPT-Neo (transformers), GGUF files (the gguf package) and
OpenAI's release of GPT-2 in TensorFlow.

Each folder holds a checkpoint (adapters share `base`) and expected.json: {"ids": [...], "logits": [[...], ...]}.

Needs torch, transformers, peft, gguf and tensorflow. Run it from anywhere: python3 tools/make_relative_goldens.py
"""

import json
import pathlib
import shutil

import gguf
import numpy
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoConfig, GPTNeoForCausalLM
from transformers.convert_slow_tokenizer import bytes_to_unicode

from gguf_names import gguf_tensors

ROOT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "engine" / "relatives"
IDS = [5, 9, 3, 1]
ADAPTERS = {
    "plain": dict(target_modules=["c_attn"]),
    "rslora": dict(target_modules=["c_attn", "c_proj", "c_fc"], use_rslora=True, fan_in_fan_out=False),
    "patterns": dict(target_modules=["c_attn", "c_fc"], rank_pattern={"c_fc": 3}, alpha_pattern={"h.1.mlp.c_fc": 9}),
    "saved_head": dict(target_modules=["c_attn"], modules_to_save=["lm_head", "ln_f"]),
    "saved_embedding": dict(target_modules=["c_attn"], modules_to_save=["wte"]),
    "embedding": dict(target_modules=["wte", "c_attn"]),
    "head": dict(target_modules=["lm_head", "c_attn"], lora_bias=False),
    "biases": dict(target_modules=["c_attn"], bias="all"),
    "lora_bias": dict(target_modules=["c_attn"], lora_bias=True),
    "dora": dict(target_modules=["c_attn"], use_dora=True),
}


def randomise(named):
    for _, parameter in named:
        parameter.data = (torch.randn_like(parameter) * 0.3).float()


def write_expected(folder, model):
    with torch.no_grad():
        logits = model(torch.tensor([IDS])).logits[0]
    text = {"ids": IDS, "logits": [[round(float(x), 6) for x in row] for row in logits]}
    (folder / "expected.json").write_text(json.dumps(text) + "\n")


def write_adapters():
    base = ROOT / "base"
    model = GPT2LMHeadModel(GPT2Config(n_layer=2, n_head=2, n_embd=8, n_positions=12, vocab_size=13)).eval()
    randomise(model.named_parameters())
    model.save_pretrained(base)
    (base / "generation_config.json").unlink(missing_ok=True)
    for name, options in ADAPTERS.items():
        adapted = get_peft_model(GPT2LMHeadModel.from_pretrained(base), LoraConfig(r=2, lora_alpha=6, **{"fan_in_fan_out": True} | options))
        wanted = ("lora_", "modules_to_save") + ((".bias",) if options.get("bias") else ())
        randomise((n, p) for n, p in adapted.named_parameters() if any(part in n for part in wanted))
        folder = ROOT / ("adapter_" + name)
        adapted.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        config = json.loads((folder / "adapter_config.json").read_text())
        config["base_model_name_or_path"] = "base"
        config["target_modules"] = sorted(config["target_modules"])
        (folder / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n")
        write_expected(folder, PeftModel.from_pretrained(GPT2LMHeadModel.from_pretrained(base), folder).eval())


def write_gguf():
    """The gguf package writes and quantises; what it dequantises is put into transformers' model."""
    config = GPT2Config(n_layer=1, n_head=2, n_embd=32, n_positions=12, vocab_size=13)
    kinds = {"f32": gguf.GGMLQuantizationType.F32, "f16": gguf.GGMLQuantizationType.F16, "bf16": gguf.GGMLQuantizationType.BF16,
             "q8_0": gguf.GGMLQuantizationType.Q8_0, "q4_0": gguf.GGMLQuantizationType.Q4_0}
    folder = ROOT / "gguf"
    folder.mkdir()
    for name, kind in kinds.items():
        model = GPT2LMHeadModel(config).eval()
        randomise(model.named_parameters())
        state = {k: v for k, v in model.state_dict().items() if k != "lm_head.weight" or name == "f16"}
        writer = gguf.GGUFWriter(folder / f"{name}.gguf", "gpt2")
        writer.add_block_count(config.n_layer)
        writer.add_context_length(config.n_positions)
        writer.add_embedding_length(config.n_embd)
        writer.add_feed_forward_length(4 * config.n_embd)
        writer.add_head_count(config.n_head)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list(["a", "b"])
        writer.add_eos_token_id(7)
        for key, tensor in gguf_tensors(state):
            values = tensor.numpy()
            if values.ndim == 2:
                data = gguf.quantize(values, kind)
                values[:] = gguf.dequantize(data, kind)
                tensor.copy_(torch.from_numpy(values))
                writer.add_tensor(key, data, raw_dtype=kind)
            else:
                writer.add_tensor(key, values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        for key, tensor in gguf_tensors(state):  # rounded, in the model as well
            target = next(v for k, v in model.state_dict().items() if dict(gguf_tensors({k: v})).keys() == {key})
            if target.dim() == 2:
                kind_of = gguf.dequantize(gguf.quantize(tensor.numpy(), kind), kind)
                rounded = torch.from_numpy(kind_of)
                target.copy_(rounded if target.shape == rounded.shape and key in ("token_embd.weight", "position_embd.weight",
                                                                                  "output.weight") else rounded.t())
        (folder / name).mkdir()
        write_expected(folder / name, model)


def write_neo():
    for name, more in (("gpt_neo", {}), ("gpt_neo_global", {"attention_types": [[["global"], 2]], "intermediate_size": 20})):
        config = GPTNeoConfig(**{"num_layers": 2, "num_heads": 2, "hidden_size": 8, "max_position_embeddings": 12, "window_size": 4,
                                 "vocab_size": 13, "attention_types": [[["global", "local"], 1]]} | more)
        model = GPTNeoForCausalLM(config).eval()
        randomise(model.named_parameters())
        folder = ROOT / name
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        write_expected(folder, model)


def write_tensorflow():
    """OpenAI's release of GPT-2: names, shapes and files as theirs, saved by TensorFlow."""
    import tensorflow

    config = GPT2Config(n_layer=2, n_head=2, n_embd=8, n_positions=12, vocab_size=258)
    model = GPT2LMHeadModel(config).eval()
    randomise(model.named_parameters())
    folder = ROOT / "tensorflow"
    folder.mkdir()
    tensors = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        parts = name.removeprefix("transformer.").split(".")
        if parts[0] == "h":
            parts[:2] = ["h" + parts[1]]
        if parts[-1] == "weight" and len(parts) > 2:
            parts[-1] = "g" if "ln" in parts[-2] else "w"
        elif parts[-1] == "weight":
            parts[-1:] = ["g"] if parts[0] == "ln_f" else []
        elif parts[-1] == "bias":
            parts[-1] = "b"
        values = tensor.numpy()
        tensors["/".join(["model", *parts])] = values[None] if parts[-1] == "w" else values
    tensors["global_step"] = numpy.array(7, dtype=numpy.int64)
    names = sorted(tensors)
    tensorflow.raw_ops.SaveV2(prefix=str(folder / "model.ckpt"), tensor_names=names, shape_and_slices=[""] * len(names),
                              tensors=[tensorflow.constant(tensors[name]) for name in names])
    hparams = {"n_vocab": 258, "n_ctx": 12, "n_embd": 8, "n_head": 2, "n_layer": 2}
    (folder / "hparams.json").write_text(json.dumps(hparams) + "\n")
    byte = bytes_to_unicode()
    vocab = {byte[i]: i for i in range(256)} | {"ab": 256, "<|endoftext|>": 257}
    (folder / "encoder.json").write_text(json.dumps(vocab) + "\n")
    (folder / "vocab.bpe").write_text("#version: 0.2\na b\n")
    write_expected(folder, model)


def write_neo_window():
    """A text of more tokens than the local layers' window: also maps, a gradient and a continuation."""
    config = GPTNeoConfig(num_layers=3, num_heads=2, hidden_size=8, max_position_embeddings=64, window_size=8, vocab_size=13,
                          attention_types=[[["global", "local"], 1], [["local"], 1]], attn_implementation="eager")
    model = GPTNeoForCausalLM(config).eval()
    randomise(model.named_parameters())
    folder = ROOT / "gpt_neo_window"
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    ids = [(5 * i * i + 3 * i + 1) % 13 for i in range(57)]
    embedded = model.transformer.wte(torch.tensor([ids])).detach().requires_grad_()
    found = model(inputs_embeds=embedded, output_attentions=True)
    found.logits[0, -1, 3].backward()
    with torch.no_grad():
        fresh = model.generate(torch.tensor([ids[:20]]), do_sample=False, max_new_tokens=12, pad_token_id=0, eos_token_id=None)[0, 20:]

    def rounded(values):
        return [round(float(x), 6) for x in values.detach().flatten()]

    text = {"ids": ids, "logits": [rounded(row) for row in found.logits[0]], "pattern": rounded(found.attentions[1][0]),
            "gradient": rounded(embedded.grad[0]), "prompt": 20, "fresh": fresh.tolist()}
    (folder / "expected.json").write_text(json.dumps(text) + "\n")


if __name__ == "__main__":
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir(parents=True)
    torch.manual_seed(7)
    write_adapters()
    write_neo()
    write_gguf()
    write_neo_window()
    write_tensorflow()
