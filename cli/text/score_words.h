// SPDX-License-Identifier: MIT
#pragma once

#include <numbers>
#include <string>
#include <vector>

#include "cli/core/context.h"
#include "cli/core/output_files.h"
#include "cli/core/tokens.h"
#include "vitrine/analysis/score.h"

namespace vitrine::cli {
using namespace internal;

constexpr double bits(double nats) { return nats / std::numbers::ln2; }

/// Options of `vitrine score --words`.
struct WordArgs {
  WordBoundary boundary = WordBoundary::kLeading;
  Tokenizer::Special special = Tokenizer::Special::kText;
  bool bits = false, summary = false;
  ResultArgs output = {};
};

/// What --json prints; `summary`: without tokens and words.
JsonValue scores_json(const Model& model, std::vector<Result> results,
                      const std::vector<Prompt>& prompts, bool summary);

/// Scores the texts word by word; `options` without progress.
void show_words(const Context& context, const Model& model, const std::vector<Prompt>& prompts,
                ScoreOptions options, const WordArgs& args);

}  // namespace vitrine::cli
