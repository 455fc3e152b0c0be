// SPDX-License-Identifier: MIT
#pragma once

// Start here. In the order in which one meets them:
//
//   model.h            load a model, run text through it, get logits and activations
//   tokenizer.h        text <-> ids
//   hooks.h            which sites to capture and what to change, by name
//   sites.h            the table of sites
//   captures.h         the activations that a run kept
//   run.h              the result of a forward pass
//   tensor.h           the views and owners that activations come as
//   generate.h         continue a text, with captures and edits
//   gradients.h        the gradient of a number with respect to activations
//   logit_rows.h       whole logits, a few rows at a time
//   running_moments.h  means and covariances of captured rows, accumulated where the model runs
//   error.h            the one exception
//   version.h          the version, as numbers and as text
//
//   analysis.h         lens.h, tuned_lens.h, saliency.h, score.h, attribution.h, patching.h,
//   ablation.h,
//                      causal_trace.h, path_patching.h, noise.h, predictivity.h, attention.h,
//                      similarity.h, factors.h, concepts.h, covariance.h
//   corpus.h           documents from files, captures of a whole corpus in shards
//   checkpoint.h       safetensors and torch files, the Hugging Face cache, random checkpoints
//   report.h           results as pages and as figures

#include "vitrine/analysis.h"
#include "vitrine/captures.h"
#include "vitrine/checkpoint.h"
#include "vitrine/config.h"
#include "vitrine/corpus.h"
#include "vitrine/error.h"
#include "vitrine/generate.h"
#include "vitrine/gradients.h"
#include "vitrine/hooks.h"
#include "vitrine/logit_rows.h"
#include "vitrine/model.h"
#include "vitrine/report.h"
#include "vitrine/run.h"
#include "vitrine/running_moments.h"
#include "vitrine/sites.h"
#include "vitrine/tensor.h"
#include "vitrine/tokenizer.h"
#include "vitrine/version.h"
