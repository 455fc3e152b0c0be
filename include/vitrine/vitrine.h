// SPDX-License-Identifier: MIT
#pragma once

// Umbrella header of the core. The headers in reading order:
//
//   model.h            load a model, run text through it, get logits and activations
//   load_report.h      what a checkpoint holds and the model does not use
//   tokenizer.h        text <-> ids
//   hooks.h            which sites to capture and what to change, by name
//   hook_text.h        sites and edits as text
//   hook_file.h        captures, edits and seed of an experiment in a file
//   hook_plan.h        hooks compiled once for many passes
//   indices.h          lists and ranges of indices, open ends included
//   sites.h            the table of sites
//   captures.h         the captured activations of a run
//   run.h              the result of a forward pass
//   tensor.h           tensors and views of tensors
//   gpu.h              results that stay on a GPU, for programs with streams of their own
//   generate.h         continue a text, with captures and edits
//   beam_search.h      the best continuations of a text
//   gradients.h        gradients of a scalar target with respect to activations
//   resume.h           passes that begin at a block, with given rows of the residual stream
//   logit_rows.h       full rows of logits, a few at a time
//   non_finite.h       where a NaN or an infinity first appears
//   running_moments.h  means and covariances of captured rows, accumulated on the model's device
//   error.h            the exception type
//   version.h          the version, as numbers and as text
//
//   analysis.h         all analyses, each in a header of its own
//   corpus.h           documents from files, captures of a whole corpus in shards
//   checkpoint.h       tensor files, the Hugging Face cache, conversions, random checkpoints
//   report.h           results as pages and as figures

#include "vitrine/analysis.h"
#include "vitrine/beam_search.h"
#include "vitrine/captures.h"
#include "vitrine/checkpoint.h"
#include "vitrine/config.h"
#include "vitrine/corpus.h"
#include "vitrine/error.h"
#include "vitrine/generate.h"
#include "vitrine/gpu.h"
#include "vitrine/gradients.h"
#include "vitrine/hook_file.h"
#include "vitrine/hook_plan.h"
#include "vitrine/hook_text.h"
#include "vitrine/hooks.h"
#include "vitrine/indices.h"
#include "vitrine/load_report.h"
#include "vitrine/logit_rows.h"
#include "vitrine/model.h"
#include "vitrine/non_finite.h"
#include "vitrine/report.h"
#include "vitrine/resume.h"
#include "vitrine/run.h"
#include "vitrine/running_moments.h"
#include "vitrine/sites.h"
#include "vitrine/tensor.h"
#include "vitrine/tokenizer.h"
#include "vitrine/version.h"
