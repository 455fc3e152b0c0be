// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "vitrine/hooks.h"
#include "vitrine/model.h"

namespace vitrine {

/// A NaN or an infinity in a pass.
struct NonFinite {
  std::string site;      ///< "blocks.3.hook_resid_pre"
  int sequence = 0;      ///< index in the batch
  int64_t position = 0;  ///< in the sequence
  int64_t element = 0;   ///< of the position's row: neuron, or head x head width + neuron
  float value = 0;

  /// "blocks.3.hook_resid_pre is NaN at position 0 (element 5)"; with the sequence if it is not the
  /// first.
  std::string text() const;
};

/// Runs the batch and returns the first value that is not finite: of the earliest site in the order
/// of the pass, the first sequence's first position. nullopt: all values are finite. Each site is
/// read after its edits; the maps and attn.hook_result are not read, because hook_z and
/// hook_attn_out follow from them. In `logits`, -infinity (a token of probability 0) counts only if
/// a whole row has it. Throws Error (user) as Model::forward does.
std::optional<NonFinite> find_non_finite(const Model& model, const Batch& batch,
                                         const Hooks& edits = {});

/// Throws Error (user) that says where the run of this batch first has a value that is not finite.
/// `what` is the result that could not be computed: "the loss of position 3".
[[noreturn]] void refuse_non_finite(const Model& model, const Batch& batch, const Hooks& edits,
                                    std::string_view what);

}  // namespace vitrine
