// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>

#include "base/json.h"
#include "vitrine/corpus/corpus.h"
#include "vitrine/hooks.h"
#include "vitrine/model.h"

namespace vitrine::internal {

/// What results over a corpus depend on: {"model", "tokenizer", "plan", "corpus", "rank", "world"}.
/// Equal ones may be put together. Throws Error (user) for an edit that cannot be written down.
Json corpus_identity(const Model& model, const WindowReader& windows, const Hooks& hooks,
                     const std::string& weights_digest);

/// Throws Error (user) naming `where` and the first thing that differs, with both values: `there`
/// is the stored value, `here` the requested one.
void check_same_identity(const Json& here, const Json& there, const std::string& where);

/// How far a reader of windows has come; written into files, so that a later one can go on.
struct CorpusPosition {
  int64_t document = -1, begin = 0;  ///< of the last window; -1: there was none yet
  uint64_t digest = 0;               ///< WindowReader::digest then

  friend bool operator==(const CorpusPosition&, const CorpusPosition&) = default;
};
Json position_json(const CorpusPosition& position);
CorpusPosition position_from(const Json& json, const std::string& file);
/// Throws Error (user) naming `where` if the corpus is not the one that was read then.
void go_on_behind(WindowReader& windows, const CorpusPosition& position, const std::string& where);

}  // namespace vitrine::internal
