#pragma once

// Start here. In the order in which one meets them:
//
//   model.h          load a model, run text through it, get logits and activations
//   hooks.h          what to capture and what to change, by site name
//   sites.h          the table of sites
//   captures.h       what a run has kept
//   generate.h       continue a text, with captures and edits on
//   gradients.h      the gradient of a number with respect to activations
//   tokenizer.h      text <-> ids
//   tensor.h         what activations come as
//   lens.h           what the model would say after each layer
//   tuned_lens.h     maps that bring each layer into the last one's basis: load, fit, save
//   saliency.h       how much each token of the input matters for what comes next
//   score.h          how well it predicts a text, token by token
//   attribution.h    a logit as a sum over heads, MLPs, neurons
//   patching.h       activations of one run put into another
//   ablation.h       a run without one of its components
//   causal_trace.h   states put back under noise
//   path_patching.h  what one component tells another
//   noise.h          what spans, scattered tokens and other noise in a prompt do to it
//   predictivity.h   how well a layer predicts responses of brains
//   attention.h      where the model looks: maps, rollout, flow, what each head does
//   similarity.h     how alike two layers represent the same tokens
//   factors.h        groups of neurons that fire together
//   concepts.h       what two sets of texts differ in, as a direction to steer with
//   capture_file.h   captures on disk
//   corpus.h         documents from files, in windows
//   corpus_capture.h captures of a whole corpus, in shards
//   covariance.h     covariance of activations over a corpus
//   logit_rows.h     whole logits, a few rows at a time
//   running_moments.h  means and covariances of captured rows, added up where the model is
//   torch_file.h     tensors that torch.save wrote
//   model_cache.h    models of the Hugging Face cache
//   random_checkpoint.h  a checkpoint of random weights, for benchmarks and tests
//   report.h         results as pages
//   figure.h         results as figures for papers
//   error.h          the one exception

#include "vitrine/ablation.h"
#include "vitrine/attention.h"
#include "vitrine/attribution.h"
#include "vitrine/capture_file.h"
#include "vitrine/captures.h"
#include "vitrine/causal_trace.h"
#include "vitrine/corpus.h"
#include "vitrine/corpus_capture.h"
#include "vitrine/covariance.h"
#include "vitrine/concepts.h"
#include "vitrine/error.h"
#include "vitrine/factors.h"
#include "vitrine/figure.h"
#include "vitrine/generate.h"
#include "vitrine/gradients.h"
#include "vitrine/hooks.h"
#include "vitrine/lens.h"
#include "vitrine/logit_rows.h"
#include "vitrine/model.h"
#include "vitrine/model_cache.h"
#include "vitrine/noise.h"
#include "vitrine/patching.h"
#include "vitrine/path_patching.h"
#include "vitrine/predictivity.h"
#include "vitrine/random_checkpoint.h"
#include "vitrine/report.h"
#include "vitrine/run.h"
#include "vitrine/running_moments.h"
#include "vitrine/saliency.h"
#include "vitrine/score.h"
#include "vitrine/similarity.h"
#include "vitrine/sites.h"
#include "vitrine/tensor.h"
#include "vitrine/tokenizer.h"
#include "vitrine/torch_file.h"
#include "vitrine/tuned_lens.h"
