#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/engine/checkpoints: one tiny GPT-2 in every form that the checkpoint reader knows, by the libraries that
define the forms (torch.save, safetensors), the .npy files of tests/base by NumPy, and a pickle for tests/fuzz.

Element k (row-major, in Hugging Face's layout) of the tensor called NAME is ((seed(NAME) + 37 k) mod 255 - 127) / 128, with
seed(NAME) = sum of (position + 1) * byte, mod 1009: exact in float32, float16 and bfloat16 alike, so that a test can compute
it for itself. llm.c's files are written from the description of its layout in its train_gpt2.py (write_model), because the
original refuses any vocabulary but GPT-2's.

The same bytes at every run, except torch_legacy: old torch names storages by their addresses in memory.

Needs torch, safetensors and numpy. Run it from anywhere: python3 tools/make_checkpoint_goldens.py
"""

import collections
import json
import pathlib
import pickle
import struct
import zipfile

import numpy as np
import torch
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent / "tests"
LAYERS, HEADS, WIDTH, INNER, VOCAB, CONTEXT = 2, 2, 4, 6, 7, 5


def shapes(inner):
    result = {"wte.weight": [VOCAB, WIDTH], "wpe.weight": [CONTEXT, WIDTH]}
    for i in range(LAYERS):
        result |= {
            f"h.{i}.ln_1.weight": [WIDTH], f"h.{i}.ln_1.bias": [WIDTH],
            f"h.{i}.attn.c_attn.weight": [WIDTH, 3 * WIDTH], f"h.{i}.attn.c_attn.bias": [3 * WIDTH],
            f"h.{i}.attn.c_proj.weight": [WIDTH, WIDTH], f"h.{i}.attn.c_proj.bias": [WIDTH],
            f"h.{i}.ln_2.weight": [WIDTH], f"h.{i}.ln_2.bias": [WIDTH],
            f"h.{i}.mlp.c_fc.weight": [WIDTH, inner], f"h.{i}.mlp.c_fc.bias": [inner],
            f"h.{i}.mlp.c_proj.weight": [inner, WIDTH], f"h.{i}.mlp.c_proj.bias": [WIDTH],
        }
    return result | {"ln_f.weight": [WIDTH], "ln_f.bias": [WIDTH]}


def values(name, shape, dtype=torch.float32):
    seed = sum((i + 1) * b for i, b in enumerate(name.encode())) % 1009
    k = np.arange(int(np.prod(shape)), dtype=np.int64)
    array = (((seed + 37 * k) % 255 - 127) / 128).astype(np.float32).reshape(shape)
    return torch.from_numpy(array).to(dtype)


def folder(name, **changes):
    path = ROOT / "engine" / "checkpoints" / name
    path.mkdir(parents=True, exist_ok=True)
    config = {"model_type": "gpt2", "n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH, "n_inner": INNER, "vocab_size": VOCAB,
              "n_positions": CONTEXT} | changes
    (path / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    return path


def plain(prefix="", dtype=torch.float32):
    return {prefix + name: values(name, shape, dtype) for name, shape in shapes(INNER).items()}


def write_safetensors():
    save_file(plain(), folder("safetensors") / "model.safetensors", metadata={"format": "pt"})

    mixed = {}
    for i, (name, tensor) in enumerate(plain().items()):
        mixed[("transformer." if i % 2 else "") + name] = tensor.to([torch.float32, torch.float16, torch.bfloat16][i % 3])
    mixed["lm_head.weight"] = mixed["wte.weight"].clone()
    mixed["h.1.attn.bias"] = torch.tril(torch.ones(CONTEXT, CONTEXT)).bool().view(1, 1, CONTEXT, CONTEXT)
    mixed["transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)
    mixed["score.weight"] = torch.zeros(2, WIDTH)
    save_file(mixed, folder("mixed", tie_word_embeddings=False) / "model.safetensors")

    untied = plain("transformer.")
    untied["lm_head.weight"] = values("lm_head.weight", [VOCAB, WIDTH])
    save_file(untied, folder("untied", tie_word_embeddings=False) / "model.safetensors")

    # What safetensors wrote before it aligned the data: a header of odd length.
    header, data = {}, b""
    for name, tensor in plain().items():
        raw = tensor.numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (1 - len(text) % 2)
    assert len(text) % 2 == 1
    (folder("odd_offset") / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)

    write_shards(folder("sharded"), "model", "safetensors", plain("transformer."), save_file)


def write_shards(path, stem, ending, tensors, save):
    names = list(tensors)
    parts = {f"{stem}-0000{i + 1}-of-00002.{ending}": names[i::2] for i in range(2)}
    for file, mine in parts.items():
        save({name: tensors[name] for name in mine}, path / file)
    index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())},
             "weight_map": {name: file for file, mine in parts.items() for name in mine}}
    (path / f"{stem}.{ending}.index.json").write_text(json.dumps(index, indent=1) + "\n")


def write_torch():
    state = collections.OrderedDict(plain("transformer."))
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    wte, fc = "transformer.wte.weight", "transformer.h.0.mlp.c_fc.weight"
    state["lm_head.weight"] = state[wte]  # tied: the same storage
    state[fc] = state[fc].t().contiguous().t()  # a transposed view
    pool = torch.full((100,), float("nan"))  # a tensor inside a larger storage whose other elements are unused
    pool[11:11 + WIDTH] = state["transformer.ln_f.bias"]
    state["transformer.ln_f.bias"] = pool[11:11 + WIDTH]
    state["transformer.ln_f.weight"] = torch.nn.Parameter(state["transformer.ln_f.weight"])
    state["transformer.h.1.ln_1.bias"] = state["transformer.h.1.ln_1.bias"].half()
    state["transformer.h.1.ln_2.bias"] = state["transformer.h.1.ln_2.bias"].bfloat16()
    state["transformer.h.0.attn.bias"] = torch.tril(torch.ones(CONTEXT, CONTEXT, dtype=torch.uint8))
    state["transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)
    state["steps"] = 12345678901
    torch.save(state, folder("torch") / "pytorch_model.bin")
    with zipfile.ZipFile(folder("torch") / "pytorch_model.bin") as archive:  # a seed for the fuzzer
        seeds = ROOT / "fuzz" / "seeds"
        seeds.mkdir(parents=True, exist_ok=True)
        (seeds / "state_dict.pkl").write_bytes(archive.read("pytorch_model/data.pkl"))
    torch.save(state, folder("torch_legacy") / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    write_shards(folder("torch_sharded"), "pytorch_model", "bin", plain(), torch.save)
    write_hostile()


def write_training():
    """What training programs save: the tensors beside other state, under prefixes."""
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2)).sum().backward()
    optimizer.step()
    lightning = plain("model.transformer.")
    lightning["model.lm_head.weight"] = lightning["model.transformer.wte.weight"]
    torch.save({"epoch": 3, "state_dict": lightning, "optimizer_states": [optimizer.state_dict()], "lr_schedulers": []},
               folder("lightning") / "pytorch_model.bin")
    # DeepSpeed's mp_rank_00_model_states.pt
    torch.save({"module": plain("transformer."), "buffer_names": [], "optimizer": None, "ds_version": "0.17.0"},
               folder("deepspeed") / "pytorch_model.bin")
    foreign = plain() | {"complex": torch.zeros(2, dtype=torch.complex64), "uint16": torch.zeros(3, dtype=torch.uint16),
                         "float8": torch.zeros(4).to(torch.float8_e4m3fn)}
    torch.save(foreign, folder("torch_foreign") / "pytorch_model.bin")
    for name, bias in (("nanogpt", True), ("nanogpt_no_bias", False), ("mingpt", True)):
        tensors = {}
        for key, shape in shapes(4 * WIDTH).items():
            linear = len(shape) == 2 and key.startswith("h.")
            if bias or not key.endswith(".bias"):
                tensors["_orig_mod.transformer." + key] = values(key, shape).t().contiguous() if linear else values(key, shape)
        tensors["_orig_mod.lm_head.weight"] = tensors["_orig_mod.transformer.wte.weight"]
        if name == "mingpt":
            tensors["_orig_mod.lm_head.weight"] = values("lm_head.weight", [VOCAB, WIDTH])
        arguments = {"n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH, "block_size": CONTEXT, "bias": bias, "vocab_size": VOCAB,
                     "dropout": 0.0}
        path = ROOT / "engine" / "checkpoints" / name
        path.mkdir(parents=True, exist_ok=True)
        torch.save({"model": tensors, "optimizer": optimizer.state_dict(), "model_args": arguments, "iter_num": 7,
                    "best_val_loss": torch.tensor(1.5), "config": {"dataset": "text", "learning_rate": 6e-4, "compile": True}},
                   path / "ckpt.pt")
    save_file(plain(dtype=torch.float64), folder("f64") / "model.safetensors")


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def write_hostile():
    """Pickles that unpickling would run: each must be refused by the name of what it asks for."""
    import os  # only its name is pickled
    for name, thing in {"system": Calls(os.system, "true"), "eval": Calls(eval, "1"), "set": {1, 2}}.items():
        path = folder("hostile_" + name) / "pytorch_model.bin"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo("x/data.pkl"), pickle.dumps({"wte.weight": thing}, protocol=2))


def write_llmc():
    for version, dtype in ((3, torch.float32), (5, torch.bfloat16)):
        names = shapes(4 * WIDTH)
        padded = 128
        header = np.zeros(256, dtype="<i4")
        header[:8] = [20240326, version, CONTEXT, VOCAB, LAYERS, HEADS, WIDTH, padded]
        # The padding is NaN here, which llm.c's zeros are not, so that a test detects any read of it.
        wte = torch.cat([values("wte.weight", names["wte.weight"]), torch.full((padded - VOCAB, WIDTH), float("nan"))])
        parts = [wte, values("wpe.weight", names["wpe.weight"])]
        for part in ("ln_1.weight", "ln_1.bias", "attn.c_attn.weight", "attn.c_attn.bias", "attn.c_proj.weight", "attn.c_proj.bias",
                     "ln_2.weight", "ln_2.bias", "mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight", "mlp.c_proj.bias"):
            for i in range(LAYERS):
                tensor = values(f"h.{i}.{part}", names[f"h.{i}.{part}"])
                parts.append(tensor.t() if tensor.dim() == 2 else tensor)  # [out, in]
        parts += [values(f"ln_f.{part}", [WIDTH]) for part in ("weight", "bias")]
        data = b"".join(t.to(dtype).contiguous().view(torch.int32 if version == 3 else torch.int16).numpy().tobytes() for t in parts)
        path = ROOT / "engine" / "checkpoints" / "llmc"
        path.mkdir(parents=True, exist_ok=True)
        (path / f"version{version}.bin").write_bytes(header.tobytes() + data)


def write_npy():
    path = ROOT / "base" / "npy"
    path.mkdir(parents=True, exist_ok=True)
    grid = (np.arange(6).reshape(2, 3) - 2)
    for dtype in ("f4", "f8", "i4", "i8"):
        np.save(path / f"{dtype}.npy", grid.astype("<" + dtype))
    np.save(path / "vector.npy", np.array([1.5, -2.0, 0.25], dtype="<f4"))
    np.save(path / "scalar.npy", np.array(7, dtype="<i4"))
    np.save(path / "empty.npy", np.zeros((0, 3), dtype="<f4"))
    np.save(path / "fortran.npy", np.asfortranarray(grid.astype("<f4")))
    np.save(path / "complex.npy", grid.astype("<c8"))
    with open(path / "version2.npy", "wb") as file:
        np.lib.format.write_array(file, grid.astype("<f4"), version=(2, 0))


if __name__ == "__main__":
    write_safetensors()
    write_torch()
    write_training()
    write_llmc()
    write_npy()
