// SPDX-License-Identifier: MIT
#pragma once

/// All analyses of what a model computes between its input and its output.

#include "vitrine/analysis/ablation.h"
#include "vitrine/analysis/answer_tokens.h"
#include "vitrine/analysis/attention.h"
#include "vitrine/analysis/attribution.h"
#include "vitrine/analysis/causal_trace.h"
#include "vitrine/analysis/choices.h"
#include "vitrine/analysis/concepts.h"
#include "vitrine/analysis/covariance.h"
#include "vitrine/analysis/factors.h"
#include "vitrine/analysis/lens.h"
#include "vitrine/analysis/noise.h"
#include "vitrine/analysis/pairs.h"
#include "vitrine/analysis/patching.h"
#include "vitrine/analysis/path_patching.h"
#include "vitrine/analysis/predictivity.h"
#include "vitrine/analysis/saliency.h"
#include "vitrine/analysis/score.h"
#include "vitrine/analysis/similarity.h"
#include "vitrine/analysis/tuned_lens.h"
#include "vitrine/analysis/word_spans.h"
