#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/python/goldens/transformer_lens.npz: what TransformerLens itself gives for tests/python/transformer_lens_cases.py.

Needs TransformerLens 3.9 (4 has no HookedTransformer) with its dependencies:

    pip install "transformer-lens<4" && python3 tools/make_transformer_lens_goldens.py
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "python"))
warnings.filterwarnings("ignore")

import transformer_lens_cases as cases  # noqa: E402
from transformer_lens import HookedTransformer  # noqa: E402
from transformer_lens.cache.key_value_cache import TransformerLensKeyValueCache  # noqa: E402
from transformer_lens.config.hooked_transformer_config import HookedTransformerConfig  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

OUT = ROOT / "tests" / "python" / "goldens" / "transformer_lens.npz"


def model(**flags):
    made = HookedTransformer(HookedTransformerConfig(**cases.config(), init_weights=False))
    made.load_and_process_state_dict(cases.state(), **flags)
    return made


def with_tokenizer():
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "models" / "demo")
    config = cases.config() | {"d_vocab": 4096}
    return HookedTransformer(HookedTransformerConfig(**config), tokenizer=tokenizer)


def main():
    found = {}
    for kind, flags in cases.KINDS.items():
        made = model(**flags)
        for name, values in cases.all_cases(made, TransformerLensKeyValueCache, False).items():
            found[f"{kind} {name}"] = values.detach().numpy()
        found[f"{kind} names"] = np.array(json.dumps(list(made.hook_dict)))
    text_model = with_tokenizer()
    found |= {name: values.numpy() for name, values in cases.tokens(text_model).items()}
    found["str tokens"] = np.array(json.dumps(text_model.to_str_tokens(cases.TEXTS)))
    OUT.parent.mkdir(exist_ok=True)
    np.savez_compressed(OUT, **found)
    print(f"{OUT}: {len(found)} arrays, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
