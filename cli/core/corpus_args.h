// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "base/json_value.h"
#include "cli/core/options.h"
#include "cli/core/ranks.h"
#include "cli/core/terminal.h"
#include "vitrine/corpus/corpus.h"
#include "vitrine/model.h"

namespace vitrine::cli {
using namespace internal;

/// The options that name a corpus and cut it into windows; see add_corpus_options.
struct CorpusArgs {
  std::vector<std::string> files;
  std::string split = "file", field = "text";
  bool skip_bad = false, prepend = false, special = false;
  int64_t window = 0, overlap = 0, rank = -1, world = 0;
  int prepend_id = -1;
};

/// FILE..., --split, --field, --skip-bad, --window, --overlap, --prepend, --prepend-id, --special,
/// --rank, --world.
void add_corpus_options(Command& command, CorpusArgs& args);
/// --rank and --world, or else the environment's. Throws Error (user) for one without the other.
Rank rank_of(const CorpusArgs& args);
/// Throws Error (user) as DocumentReader and WindowReader do.
WindowReader open_corpus(const CorpusArgs& args, const Rank& rank, const Model& model);

/// The digest that identifies the model's weights, with a progress bar.
std::string weights_digest(const std::string& model);

JsonValue rank_json(const Rank& rank);
/// "rank 2 of 8 (from SLURM_PROCID)", a line; empty for a world of one.
std::string rank_text(const Rank& rank);
/// Lines about documents that were left out; empty if there were none.
std::string skipped_text(const Terminal& out, int64_t skipped, const std::string& first);

}  // namespace vitrine::cli
