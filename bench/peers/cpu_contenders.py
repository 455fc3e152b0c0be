# SPDX-License-Identifier: MIT
"""What cpu_peer.py measures: one class a program, each as its own documents say GPT-2 is run on a CPU.

`prepare` converts a checkpoint by the program's own tools and is not timed. A contender then lives in a process of its own, with `threads`
threads, in float32. `logits(ids)` are the last position's, [vocabulary]; `prefill(ids)` is the pass that gives them and no others;
`generate(ids, n)` are n greedy tokens with a key/value cache.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools"))


class Contender:
    name = ""
    package = ""  # as PyPI has it
    needs: tuple[str, ...] = ()  # modules to import

    @classmethod
    def version(cls) -> str:
        return importlib.metadata.version(cls.package)

    @classmethod
    def prepare(cls, model: Path, work: Path) -> None:
        """Puts what the program reads into `work`."""

    def prefill(self, ids: list[int]) -> None:
        self.logits(ids)

    def logits(self, ids: list[int]) -> np.ndarray:
        raise NotImplementedError

    def generate(self, ids: list[int], count: int) -> list[int]:
        raise NotImplementedError


class Stepping(Contender):
    """Programs that are called once a step: `step` takes tokens after `past` others and returns the last one's logits."""

    def step(self, ids: list[int], past: int) -> np.ndarray:
        raise NotImplementedError

    def logits(self, ids: list[int]) -> np.ndarray:
        return self.step(ids, 0)

    def generate(self, ids: list[int], count: int) -> list[int]:
        found, new, past = [], ids, 0
        for _ in range(count):
            best = int(self.step(new, past).argmax())
            past += len(new)
            new = [best]
            found.append(best)
        return found


class Vitrine(Contender):
    name, package, needs = "vitrine", "vitrine", ("vitrine",)

    def __init__(self, model: Path, work: Path, threads: int) -> None:
        import vitrine

        self.model = vitrine.Model.load(str(model), threads=threads)

    @classmethod
    def version(cls) -> str:
        import vitrine

        return vitrine.__version__

    def logits(self, ids):
        return np.asarray(self.model.run(ids, logits="last").logits).reshape(-1)

    def generate(self, ids, count):
        return [int(token) for token in self.model.generate(ids, count, stop=[]).ids]


class PyTorch(Stepping):
    """pytorch_peer.py's passes: fused attention, addmm, a cache that is written in place."""

    name, package, needs = "PyTorch", "torch", ("torch", "safetensors")

    def __init__(self, model: Path, work: Path, threads: int) -> None:
        import torch
        from pytorch_peer import Gpt2

        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self.torch = torch
        self.model = Gpt2(argparse.Namespace(model=model, device="cpu", dtype="f32"))
        width = self.model.width // self.model.heads
        self.cache = torch.zeros(self.model.layers, 2, 1, self.model.heads, self.model.context, width)

    def step(self, ids, past):
        x = self.model.embed(self.torch.tensor([ids]), past)
        return self.model.unembed(self.model.blocks(x, past, self.cache)[:, -1]).numpy()[0]

    def prefill(self, ids):
        self.model.logits(self.torch.tensor([ids]), rows=1)


class PyTorchCompiled(Contender):
    """transformers' model: a compiled pass, and transformers_peer.py's compiled step with a cache of fixed size."""

    name, package, needs = "PyTorch, torch.compile", "torch", ("torch", "transformers")

    def __init__(self, model: Path, work: Path, threads: int) -> None:
        import torch
        from transformers import GPT2LMHeadModel

        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self.torch = torch
        self.model = (
            GPT2LMHeadModel.from_pretrained(model, dtype=torch.float32, attn_implementation="sdpa")
            .eval()
            .requires_grad_(False)
        )
        self.forward = torch.compile(self.model, fullgraph=True)
        self.room = 0

    def logits(self, ids):
        return self.forward(self.torch.tensor([ids]), use_cache=False, logits_to_keep=1).logits[0, -1].numpy()

    def generate(self, ids, count):
        from transformers_peer import StaticDecoder

        if len(ids) + count > self.room:
            self.room = len(ids) + count
            self.decoder = StaticDecoder(self.model, self.room)
        return self.decoder.generate(self.torch.tensor([ids]), count)[0].tolist()


def cache_names(layers: int, kind: str) -> list[str]:
    return [f"{kind}.{layer}.{part}" for layer in range(layers) for part in ("key", "value")]


class OnnxRuntime(Stepping):
    """transformers' model by torch.onnx.export, with the last logits alone, as ONNX Runtime's optimizer leaves it."""

    name, package, needs = "ONNX Runtime", "onnxruntime", ("onnxruntime", "onnx", "onnxscript", "torch", "transformers")

    @classmethod
    def prepare(cls, model, work):
        import torch
        from transformers import DynamicCache, GPT2LMHeadModel

        class Last(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = GPT2LMHeadModel.from_pretrained(model, dtype=torch.float32).eval()

            def forward(self, input_ids, position_ids, *past):
                cache = DynamicCache(ddp_cache_data=list(zip(past[::2], past[1::2])))
                result = self.model(
                    input_ids, position_ids=position_ids, past_key_values=cache, use_cache=True, logits_to_keep=1
                )
                present = [part for layer in result.past_key_values.layers for part in (layer.keys, layer.values)]
                return (result.logits[:, -1], *present)

        whole = Last()
        c = whole.model.config
        past = tuple(torch.zeros(1, c.n_head, 3, c.n_embd // c.n_head) for _ in range(2 * c.n_layer))
        length, before = torch.export.Dim("length", max=c.n_positions), torch.export.Dim("before", max=c.n_positions)
        torch.onnx.export(
            whole,
            (torch.zeros(1, 2, dtype=torch.long), torch.arange(3, 5)[None], *past),
            str(work / "model.onnx"),
            dynamo=True,
            input_names=["input_ids", "position_ids", *cache_names(c.n_layer, "past")],
            output_names=["logits", *cache_names(c.n_layer, "present")],
            external_data=True,
            dynamic_shapes=({1: length}, {1: length}, tuple({2: before} for _ in past)),
        )

    def __init__(self, model: Path, work: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self.session = onnxruntime.InferenceSession(
            str(work / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.value = onnxruntime.OrtValue.ortvalue_from_numpy
        config = json.loads((model / "config.json").read_text())
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.names = cache_names(config["n_layer"], "past")
        self.empty = self.value(np.zeros((1, config["n_head"], 0, config["n_embd"] // config["n_head"]), np.float32))

    def step(self, ids, past):
        if past == 0:
            self.past = [self.empty] * len(self.names)
        numbers = {
            "input_ids": np.array([ids], np.int64),
            "position_ids": np.arange(past, past + len(ids), dtype=np.int64)[None],
        }
        feed = {name: self.value(array) for name, array in numbers.items()}
        logits, *self.past = self.session.run_with_ort_values(self.outputs, feed | dict(zip(self.names, self.past)))
        return logits.numpy()[0]


class OpenVino(Stepping):
    """optimum-intel's export with a cache inside the model; the product with the vocabulary is cut to the last row, as OpenVINO GenAI does."""

    name, package, needs = "OpenVINO", "openvino", ("openvino", "optimum.intel", "transformers")

    @classmethod
    def prepare(cls, model, work):
        from optimum.exporters.openvino import main_export

        main_export(str(model), str(work / "openvino"), task="text-generation-with-past", framework="pt", device="cpu")

    def __init__(self, model: Path, work: Path, threads: int) -> None:
        import openvino
        from openvino import opset13 as ops

        core = openvino.Core()
        graph = core.read_model(work / "openvino" / "openvino_model.xml")
        product = graph.output("logits").get_node().input_value(0).get_node()  # [1, T, V]
        rows = product.input_value(0)
        last = ops.slice(rows, np.array([-1]), np.array([np.iinfo(np.int64).max]), np.array([1]), np.array([1]))
        product.input(0).replace_source_output(last.output(0))
        graph.validate_nodes_and_infer_types()
        compiled = core.compile_model(
            graph,
            "CPU",
            {
                "INFERENCE_NUM_THREADS": threads,
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": "f32",
                "KV_CACHE_PRECISION": "f32",
            },
        )
        self.request = compiled.create_infer_request()
        self.inputs = {name for one in compiled.inputs for name in one.names}

    def step(self, ids, past):
        if past == 0:
            self.request.reset_state()
        feed = {
            "input_ids": np.array([ids]),
            "attention_mask": np.ones((1, past + len(ids)), np.int64),
            "position_ids": np.arange(past, past + len(ids))[None],
            "beam_idx": np.zeros(1, np.int32),
        }
        self.request.infer({name: array for name, array in feed.items() if name in self.inputs}, share_inputs=True)
        return self.request.get_tensor("logits").data[0, -1]


class CTranslate2(Contender):
    """Its converter for transformers. `generate_batch` reads a prompt in one pass without logits, and then computes its last token's."""

    name, package, needs = "CTranslate2", "ctranslate2", ("ctranslate2", "transformers")

    @classmethod
    def prepare(cls, model, work):
        from ctranslate2.converters import TransformersConverter

        TransformersConverter(str(model)).convert(str(work / "ctranslate2"))

    def __init__(self, model: Path, work: Path, threads: int) -> None:
        import ctranslate2

        self.ct2 = ctranslate2
        self.model = ctranslate2.Generator(
            str(work / "ctranslate2"), device="cpu", compute_type="float32", inter_threads=1, intra_threads=threads
        )
        self.tokens = json.loads((work / "ctranslate2" / "vocabulary.json").read_text())

    def logits(self, ids):
        return np.array(self.model.forward_batch([ids]).to_device(self.ct2.Device.cpu))[0, -1]

    def prefill(self, ids):
        self.generate(ids, 1)

    def generate(self, ids, count):
        [result] = self.model.generate_batch(
            [[self.tokens[i] for i in ids]],
            max_length=count,
            min_length=count,
            sampling_topk=1,
            beam_size=1,
            include_prompt_in_result=False,
            end_token=[],
            cache_static_prompt=False,
        )
        return result.sequences_ids[0]


class LlamaCpp(Stepping):
    """llama.cpp by llama-cpp-python's plain bindings; the gguf package writes the file."""

    name, package, needs = "llama.cpp", "llama-cpp-python", ("llama_cpp", "gguf", "safetensors", "torch")

    @classmethod
    def prepare(cls, model, work):
        import gguf
        from gguf_names import gguf_tensors
        from safetensors.torch import load_file

        c = json.loads((model / "config.json").read_text())
        writer = gguf.GGUFWriter(work / "model.gguf", "gpt2")
        writer.add_block_count(c["n_layer"])
        writer.add_context_length(c["n_positions"])
        writer.add_embedding_length(c["n_embd"])
        writer.add_feed_forward_length(c.get("n_inner") or 4 * c["n_embd"])
        writer.add_head_count(c["n_head"])
        writer.add_layer_norm_eps(c["layer_norm_epsilon"])
        writer.add_tokenizer_model("no_vocab")
        writer.add_vocab_size(c["vocab_size"])
        for name, tensor in gguf_tensors(load_file(model / "model.safetensors")):
            writer.add_tensor(name, tensor.numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    def __init__(self, model: Path, work: Path, threads: int) -> None:
        import llama_cpp

        self.api = llama_cpp
        config = json.loads((model / "config.json").read_text())
        self.vocab = config["vocab_size"]
        llama_cpp.llama_backend_init()
        loading = llama_cpp.llama_model_default_params()
        weights = llama_cpp.llama_model_load_from_file(str(work / "model.gguf").encode(), loading)
        how = llama_cpp.llama_context_default_params()
        how.n_ctx, how.n_batch, how.n_ubatch = config["n_positions"], 512, 512
        how.n_threads = how.n_threads_batch = threads
        how.type_k = how.type_v = llama_cpp.GGML_TYPE_F32
        self.context = llama_cpp.llama_init_from_model(weights, how)

    def step(self, ids, past):
        if past == 0:
            self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)
        tokens = (self.api.llama_token * len(ids))(*ids)
        if self.api.llama_decode(self.context, self.api.llama_batch_get_one(tokens, len(ids))) != 0:
            raise RuntimeError("llama_decode failed")
        return np.ctypeslib.as_array(self.api.llama_get_logits_ith(self.context, -1), (self.vocab,)).copy()


ALL: list[type[Contender]] = [Vitrine, PyTorch, PyTorchCompiled, OnnxRuntime, OpenVino, CTranslate2, LlamaCpp]
