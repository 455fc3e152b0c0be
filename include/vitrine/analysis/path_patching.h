// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/analysis/patching.h"
#include "vitrine/indices.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Path patching: the effect of one component on the output through chosen receivers only (Wang et
// al. 2022, "Interpretability in the wild", section 3.1; Goldowsky-Dill et al. 2023, "Localizing
// model behavior with path patching").
//
// For each sender: 1. The base runs with the sender's output replaced by that of the other run. The
// outputs of all heads (and of all MLPs, but see PathOptions::through_mlps) are held at their base
// values, so the change reaches the receivers through the residual stream alone. 2. The base runs
// with the receivers' inputs taken from step 1, and nothing is held.

/// Component of the model, as sender or receiver.
struct PathNode {
  enum class Kind : uint8_t {
    kEmbedding,  ///< sender: token embeddings
    kHead,       ///< sender: an attention head's output
    kMlp,        ///< sender: an MLP's output; receiver: its input
    kQuery,      ///< receivers: the inputs of a head's queries, keys, values
    kKey,
    kValue,
    kFinalResidual,  ///< receiver: the residual stream before the unembedding
  };
  Kind kind = Kind::kHead;
  int layer = 0;  ///< negative counts from the last; ignored for kEmbedding and kFinalResidual
  int head = 0;   ///< negative counts from the last; used by kHead, kQuery, kKey, kValue

  /// "embed", "head 3.1", "mlp 3", "q 3.1", "k 3.1", "v 3.1", "final".
  std::string name() const;
  /// Inverse of name(). Also accepts "h3.1", "m3" and the names without spaces. Throws Error (user)
  /// that shows the accepted forms.
  static PathNode parse(std::string_view text);
  friend bool operator==(const PathNode&, const PathNode&) = default;
};

struct PathOptions {
  PatchMetric metric = {};
  PatchDirection direction = PatchDirection::kDenoise;
  /// One result per sender; empty: embeddings, every head, every MLP.
  std::vector<PathNode> senders = {};
  /// All patched in the same run.
  std::vector<PathNode> receivers = {{.kind = PathNode::Kind::kFinalResidual}};
  Indices<int64_t> sender_positions = {};  ///< negative counts from the end; empty: all
  /// Likewise; kFinalResidual uses the metric's position.
  Indices<int64_t> receiver_positions = {};
  /// true: MLPs between sender and receivers are recomputed, as in Wang et al. false: MLPs are held
  /// as well, and only direct paths count.
  bool through_mlps = false;
  int64_t position = -1;       ///< position where the metric is read; negative counts from the end
  Hooks edits = {};            ///< see PatchOptions::edits
  int64_t batch_tokens = 512;  ///< see PatchOptions::batch_tokens
  /// Optional progress callback (counts senders); null disables reporting.
  Progress* progress = nullptr;
};

struct PathPatching {
  double clean = 0, corrupt = 0;
  std::vector<PathNode> senders;  ///< [S] layers and heads counted from 0
  std::vector<double> values;     ///< [S] metric
  /// [S] scaled so that the corrupt prompt is 0 and the clean prompt 1
  std::vector<double> effects;
  PatchWork work;  ///< cells: two passes per sender
};

/// Throws Error (user) as patch() does; for prompts of different lengths; and for a node that
/// cannot be a sender or a receiver.
PathPatching path_patch(const Model& model, std::span<const int32_t> clean,
                        std::span<const int32_t> corrupt, const PathOptions& options);

}  // namespace vitrine
