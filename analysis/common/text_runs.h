// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/captures.h"
#include "vitrine/gradients.h"
#include "vitrine/hooks.h"
#include "vitrine/model.h"

namespace vitrine::internal {

// Many texts through a model, a batch at a time.

/// What the names of gradients begin with among captures and in files.
inline constexpr const char* kGradientPrefix = "grad.";

/// Throws Error (user), naming the prompt, for one that is empty, does not fit in the context or
/// has an id outside the vocabulary.
void check_texts(const Config& config, const Batch& texts);

/// Throws Error (user) for hooks that capture nothing, and for a narrowing by sequence, which has
/// no meaning for `texts`: "a corpus".
void check_captures(const Hooks& hooks, std::string_view texts);

/// What a batch gave: `captures` are of the texts [first, first + its sequences).
struct TextBatch {
  const Captures& captures;
  size_t first;
  uint64_t done, total;  ///< tokens, this batch included, and of all texts
};

/// Runs whole texts in order, as many at once as have no more than `batch_tokens` tokens together,
/// one at least. Edits that are callbacks or read another run see one text at a time, as sequence
/// 0. `keep_going` is asked between batches; false stops there, and is what this returns then.
/// Null: always. With `finite`, throws Error (user) for a captured NaN or infinity; `analysis` is
/// what is made of the captures. With `target`, these have its gradients, too: "grad.SITE".
bool run_texts(const Model& model, const Batch& texts, const HookPlan& plan, int64_t batch_tokens,
               std::string_view analysis, bool finite,
               const std::function<void(const TextBatch&)>& see,
               const std::function<bool()>& keep_going = {}, const Target* target = nullptr);

/// The sites that the hooks capture.
std::vector<SiteRef> captured_sites(const Hooks& hooks, const Config& config);

/// The names of the sites that a pattern matches, if all of them have a row for each token. Throws
/// Error (user) as find_sites does, for a map, and for a narrowing by sequence, which would take
/// rows of one batch and not of the next.
std::vector<std::string> row_sites(const Config& config, const std::string& pattern,
                                   const Where& where);

/// One sequence's rows of a captured site: [rows, width] float32, row-major.
struct SiteRows {
  std::span<const float> values;
  size_t rows, width;
};
SiteRows rows_of(const Captures& captures, const std::string& site, size_t sequence);

}  // namespace vitrine::internal
