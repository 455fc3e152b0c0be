#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/python/goldens/*.json: what Captum, inseq, Ecco and tuned-lens compute on checkpoints of this tree.

Captum's and tuned-lens's models are tests/goldens' in double precision, the others' models/demo. Needs torch, transformers,
captum, inseq, ecco and tuned-lens; names select some of them:

    python3 tools/make_peer_goldens.py [captum] [inseq] [ecco] [tuned_lens]
"""

import json
import pathlib
import sys

import numpy as np
import torch
from transformers import GPT2LMHeadModel

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXT = "The keys to the cabinet"


def checkpoint(name):
    return (
        GPT2LMHeadModel.from_pretrained(ROOT / "tests/goldens" / name, attn_implementation="eager")
        .double()
        .eval()
    )


def numbers(values):
    array = np.asarray(values.detach() if isinstance(values, torch.Tensor) else values)
    return json.loads(json.dumps(np.vectorize(lambda x: float(f"{x:.8g}"))(array).tolist()))


def make_captum():
    from captum.attr import InputXGradient, IntegratedGradients, LayerIntegratedGradients, Saliency

    found = {}
    ids = torch.tensor([[5, 17, 3, 60, 41], [8, 8, 90, 2, 33]])
    for name in ("plain", "untied"):
        model = checkpoint(name)
        embeddings = model.transformer.wte(ids).detach()
        for value in ("logit", "log_prob", "prob"):

            def forward(e, value=value, model=model):
                logits = model(inputs_embeds=e).logits
                return {
                    "logit": logits,
                    "log_prob": logits.log_softmax(-1),
                    "prob": logits.softmax(-1),
                }[value]

            last = lambda e, forward=forward: forward(e)[:, -1]  # noqa: E731
            case = found[f"{name} {value}"] = {"ids": ids.tolist(), "target": [7, 20]}
            case["saliency"] = numbers(Saliency(last).attribute(embeddings, target=[7, 20]))
            case["input_x_gradient"] = numbers(
                InputXGradient(last).attribute(embeddings, target=[7, 20])
            )
            case["at_position_2"] = numbers(
                InputXGradient(forward).attribute(embeddings, target=[(2, 7), (3, 1)])
            )
            for method in (
                "gausslegendre",
                "riemann_trapezoid",
                "riemann_middle",
                "riemann_left",
                "riemann_right",
            ):
                attributed, delta = IntegratedGradients(last).attribute(
                    embeddings,
                    baselines=0.25,
                    target=[7, 20],
                    n_steps=11,
                    method=method,
                    return_convergence_delta=True,
                )
                case[method] = [numbers(attributed.sum(-1)), numbers(delta)]
            raw = IntegratedGradients(last, multiply_by_inputs=False).attribute(
                embeddings, target=[7, 20], n_steps=5
            )
            case["without_inputs"] = numbers(raw.norm(dim=-1))
        layer = LayerIntegratedGradients(
            lambda i, model=model: model(i).logits[:, -1], model.transformer.h[0]
        )
        attributed = layer.attribute(ids, baselines=4, target=7, n_steps=9)
        found[name] = {
            "layer": numbers(
                (attributed[0] if isinstance(attributed, tuple) else attributed).sum(-1)
            )
        }
        found[name]["answer"] = captum_answer(model, ids[0])
    return found


def captum_answer(model, prompt):
    """LLMGradientAttribution, whose tokenizer makes ids of their decimal numbers."""
    from captum.attr import LayerIntegratedGradients, LLMGradientAttribution, TextTokenInput
    from captum.attr._core import llm_attr

    llm_attr._convert_ids_to_pretty_tokens = lambda ids, words: words.convert_ids_to_tokens(ids)

    class Numbers:
        def encode(self, text, add_special_tokens=True, return_tensors=None):
            ids = [int(word) for word in text.split()]
            return torch.tensor([ids]) if return_tensors else ids

        def convert_ids_to_tokens(self, ids):
            return [str(int(token)) for token in (ids if hasattr(ids, "__len__") else [ids])]

        def decode(self, ids, **_):
            return " ".join(self.convert_ids_to_tokens(ids))

    text = " ".join(str(int(token)) for token in prompt)
    words = Numbers()
    layer = LayerIntegratedGradients(model, model.transformer.wte)
    given = TextTokenInput(text, words, baselines=4, skip_tokens=[3])
    result = LLMGradientAttribution(layer, words).attribute(
        given, target=torch.tensor([7, 9, 3]), n_steps=6
    )
    return {"prompt": text, "tokens": result.input_tokens, "token_attr": numbers(result.token_attr)}


def demo():
    """models/demo with its tokenizer, in float32."""
    from transformers import PreTrainedTokenizerFast

    folder, end = ROOT / "models/demo", "<|endoftext|>"
    words = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        bos_token=end,
        eos_token=end,
        unk_token=end,
        pad_token=end,
    )
    return GPT2LMHeadModel.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval(), words


def make_inseq():
    import inseq

    model, words = demo()
    whole, found = TEXT + " are on", {}
    for method in ("saliency", "input_x_gradient", "integrated_gradients"):
        lm = inseq.load_model(model, method, tokenizer=words)
        more = (
            {"n_steps": 12, "return_convergence_delta": True}
            if method == "integrated_gradients"
            else {}
        )
        scores = ["logit", "probability", "entropy"]  # inseq's cross-entropy fails for one text
        for function in (
            "probability",
            "logit",
            "entropy",
            "contrast_logits_diff",
            "contrast_prob_diff",
        ):
            if "contrast" in function and method == "integrated_gradients":
                continue  # inseq refuses a batch of steps here
            contrast = {"contrast_targets": TEXT + " is on"} if "contrast" in function else {}
            out = lm.attribute(
                TEXT,
                whole,
                attributed_fn=function,
                step_scores=scores,
                show_progress=False,
                **more,
                **contrast,
            )[0]
            case = found[f"{method} {function}"] = {
                "scores": {k: numbers(v) for k, v in out.step_scores.items()}
            }
            case["tokens"] = [token.id for token in out.target]
            case["source"] = len(out.source)
            case["range"] = [out.attr_pos_start, out.attr_pos_end]
            case["vnorm"] = numbers(torch.nan_to_num(out.aggregate().target_attributions, nan=-1))
            case["sum"] = numbers(
                torch.nan_to_num(out.aggregate("sum", normalize=False).target_attributions, nan=-1)
            )
            case["absmax"] = numbers(
                torch.nan_to_num(
                    out.aggregate("absmax", normalize=False, rescale=True).target_attributions,
                    nan=-9,
                )
            )
    return found


def make_ecco():
    import matplotlib.cm
    import matplotlib.pyplot

    matplotlib.use("agg")
    matplotlib.cm.get_cmap = matplotlib.pyplot.get_cmap  # Ecco needs an old matplotlib
    from ecco.lm import LM
    from ecco.util import pack_tokenizer_config

    model, words = demo()
    model.config.output_hidden_states = True
    model._prepare_attention_mask_for_generation = lambda ids, *_: torch.ones_like(ids)
    config = pack_tokenizer_config(
        {
            "type": "causal",
            "embedding": "transformer.wte.weight",
            "activations": [r"mlp\.c_proj"],
            "token_prefix": "\u0120",
            "partial_token_prefix": "",
        }
    )
    lm = LM(model, words, "demo", config, collect_activations_flag=True, verbose=False, gpu=False)
    methods = ["grad_x_input", "saliency", "ig"]
    out = lm.generate(
        TEXT,
        generate=3,
        do_sample=False,
        attribution=methods,
        temperature=1.0,
        top_k=50,
        top_p=1.0,
        output_hidden_states=True,
    )
    watch = [words.encode(token)[0] for token in (" is", " are")]
    found = {
        "token_ids": numbers(out.token_ids[0]),
        "n_input_tokens": out.n_input_tokens,
        "watch": watch,
    }
    found["attribution"] = {
        name: [numbers(row) for row in out.attribution[name]] for name in methods
    }
    found["rankings"] = numbers(out.rankings(printJson=True)["rankings"])
    found["rankings_watch"] = numbers(
        out.rankings_watch(watch=watch, position=out.n_input_tokens + 1, printJson=True)["rankings"]
    )
    predictions = out.layer_predictions(position=out.n_input_tokens + 1, topk=4, printJson=True)
    found["layer_predictions"] = [
        [[cell["token"], float(cell["prob"]), cell["layer"]] for cell in row] for row in predictions
    ]
    acts = out.activations["decoder"]
    found["activations"] = [
        list(acts.shape),
        numbers(acts.sum(2)[0]),
        float(f"{np.abs(acts).sum():.8g}"),
    ]
    nmf = out.run_nmf(n_components=3, from_layer=1, to_layer=3)
    data = nmf.activations
    fit = nmf.model.inverse_transform(nmf.components.T)
    found["nmf"] = [
        list(nmf.components.shape),
        float(np.linalg.norm(data - fit) / np.linalg.norm(data)),
    ]
    return found


def make_tuned_lens():
    from tuned_lens.nn.lenses import LogitLens, TunedLens
    from tuned_lens.plotting import PredictionTrajectory

    found = {}
    ids, targets, other = [5, 17, 3, 60, 41], [17, 3, 60, 41, 9], [1, 2, 4, 6, 8]
    for name in ("plain", "untied"):
        model = checkpoint(name).float()
        lenses = {
            "logit": LogitLens.from_model(model),
            "tuned": TunedLens.from_model_and_pretrained(
                model, str(ROOT / f"tests/analysis/goldens/tuned_{name}")
            ),
        }
        paths = {
            kind: PredictionTrajectory.from_lens_and_model(
                lens, model, ids, targets=targets, anti_targets=other
            )
            for kind, lens in lenses.items()
        }
        for kind, path in paths.items():
            case = found[f"{name} {kind}"] = {"ids": ids, "targets": targets, "anti_targets": other}
            for statistic in (
                "cross_entropy",
                "rank",
                "entropy",
                "forward_kl",
                "max_probability",
                "log_prob_diff",
            ):
                case[statistic] = numbers(getattr(path, statistic)().stats)
            case["log_prob_delta"] = numbers(path.log_prob_diff(delta=True).stats)
            for pair in ("kl_divergence", "js_divergence", "total_variation"):
                case[pair] = numbers(
                    getattr(path, pair)(paths["logit" if kind == "tuned" else "tuned"]).stats
                )
            masked = PredictionTrajectory.from_lens_and_model(
                lenses[kind], model, ids, targets=targets, mask_input=True
            )
            case["masked_entropy"] = numbers(masked.entropy().stats)
        hidden = torch.arange(model.config.n_embd, dtype=torch.float32)[None] / 10 - 1
        found[f"{name} tuned"]["transform"] = numbers(
            lenses["tuned"].transform_hidden(hidden, 1)[0]
        )
        found[f"{name} tuned"]["forward"] = numbers(lenses["tuned"](hidden, 1)[0])
    return found


def main():
    makers = {name[5:]: make for name, make in globals().items() if name.startswith("make_")}
    for name in sys.argv[1:] or makers:
        path = ROOT / "tests/python/goldens" / f"{name}.json"
        path.write_text(json.dumps(makers[name](), separators=(",", ":")) + "\n")
        print(path.relative_to(ROOT), path.stat().st_size)


if __name__ == "__main__":
    main()
