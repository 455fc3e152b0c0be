# SPDX-License-Identifier: MIT
"""A GPT-2 engine with glass walls: every activation can be read, edited and differentiated by name.

    import vitrine

    model = vitrine.Model.load("demo")
    run = model.run("The keys to the cabinet", capture="blocks.*.hook_resid_post")
    run.logits                                  # [T, V]
    run["blocks.3.hook_resid_post"]             # [T, D]
    vitrine.lens(model, "The keys to the cabinet", watch=[" is", " are"])
"""

from vitrine import types
from vitrine._vitrine import VERSION as __version__
from vitrine._vitrine import (
    Capture,
    Captures,
    Config,
    Edit,
    Generation,
    Gradients,
    Model,
    Place,
    Plan,
    Result,
    Run,
    RunBatch,
    Session,
    Target,
    Tokenizer,
    ablate,
    attention,
    attention_flow,
    attention_rollout,
    can_draw_figures,
    causal_trace,
    concept_directions,
    covariance,
    factors,
    heads,
    lens,
    logit_attribution,
    noise,
    patch,
    path_patch,
    predictivity,
    rankings,
    saliency,
    score,
    score_words,
    similarity,
    sites,
)
from vitrine.command import bench, doctor
from vitrine.error import Error
from vitrine.progress import progress_bar
from vitrine.streaming import stream
from vitrine.tracing import trace

__all__ = [
    "Capture",
    "Captures",
    "Config",
    "Edit",
    "Error",
    "Generation",
    "Gradients",
    "Model",
    "Place",
    "Plan",
    "Result",
    "Run",
    "RunBatch",
    "Session",
    "Target",
    "Tokenizer",
    "__version__",
    "ablate",
    "attention",
    "attention_flow",
    "attention_rollout",
    "bench",
    "can_draw_figures",
    "causal_trace",
    "concept_directions",
    "covariance",
    "doctor",
    "factors",
    "heads",
    "lens",
    "logit_attribution",
    "noise",
    "patch",
    "path_patch",
    "predictivity",
    "progress_bar",
    "rankings",
    "saliency",
    "score",
    "score_words",
    "similarity",
    "sites",
    "stream",
    "trace",
    "types",
]
