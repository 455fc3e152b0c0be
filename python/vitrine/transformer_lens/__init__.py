# SPDX-License-Identifier: MIT
"""TransformerLens's surface (its versions 1 to 3) on the engine.

    from vitrine.transformer_lens import HookedTransformer

    model = HookedTransformer.from_pretrained("gpt2")
    logits, cache = model.run_with_cache("The keys to the cabinet", names_filter="blocks.3.hook_resid_post")

All passes run in the engine: hooks are edits of a pass, and what no hook, cache or result needs is not
computed. Weights are constants. Needs torch, which `import vitrine` does not.
"""

from vitrine.error import Error

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise Error(
        "vitrine.transformer_lens needs torch, which is not installed: pip install torch, "
        "or use vitrine.Model.run(capture=, edits=), which needs NumPy alone"
    ) from error

from vitrine.transformer_lens import direct_path, head_detector, patching, utils
from vitrine.transformer_lens.cache import ActivationCache
from vitrine.transformer_lens.config import HookedTransformerConfig
from vitrine.transformer_lens.factored_matrix import FactoredMatrix
from vitrine.transformer_lens.hook_points import HookPoint
from vitrine.transformer_lens.hooked_root import HookedRootModule
from vitrine.transformer_lens.key_value_cache import (
    HookedTransformerKeyValueCache,
    HookedTransformerKeyValueCacheEntry,
)
from vitrine.transformer_lens.model import HookedTransformer, Output

TransformerLensKeyValueCache = HookedTransformerKeyValueCache
TransformerLensKeyValueCacheEntry = HookedTransformerKeyValueCacheEntry

__all__ = [
    "ActivationCache",
    "FactoredMatrix",
    "HookPoint",
    "HookedRootModule",
    "HookedTransformer",
    "HookedTransformerConfig",
    "HookedTransformerKeyValueCache",
    "HookedTransformerKeyValueCacheEntry",
    "Output",
    "TransformerLensKeyValueCache",
    "TransformerLensKeyValueCacheEntry",
    "direct_path",
    "head_detector",
    "patching",
    "utils",
]
