// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/analysis/patching.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Path patching: what one component tells another, rather than the whole model (Wang et al. 2022,
// "Interpretability in the wild", section 3.1; Goldowsky-Dill et al. 2023, "Localizing model
// behavior with path patching").
//
// For each sender: 1. the base runs with the sender's output replaced by the other run's, and with
// every head's output (and every MLP's, but see PathOptions::through_mlps) held at the base's, so
// that the change reaches the receivers through the residual stream alone; 2. the base runs with
// the receivers' inputs as they were in 1., and nothing held.

/// A component, as a sender or as a receiver.
struct PathNode {
  enum class Kind : uint8_t {
    kEmbedding,  ///< sender: token embeddings
    kHead,       ///< sender: an attention head's output
    kMlp,        ///< sender: an MLP's output; receiver: its input
    kQuery,      ///< receivers: what a head computes its queries, keys, values from
    kKey,
    kValue,
    kFinalResidual,  ///< receiver: the residual stream that is unembedded
  };
  Kind kind = Kind::kHead;
  int layer = 0;  ///< negative from the last; without meaning for kEmbedding and kFinalResidual
  int head = 0;   ///< negative from the last; kHead, kQuery, kKey, kValue

  /// "embed", "head 3.1", "mlp 3", "q 3.1", "k 3.1", "v 3.1", "final".
  std::string name() const;
  /// The inverse; also "h3.1", "m3" and what has no space. Throws Error (user) showing what there
  /// is.
  static PathNode parse(std::string_view text);
  friend bool operator==(const PathNode&, const PathNode&) = default;
};

struct PathOptions {
  PatchMetric metric = {};
  PatchDirection direction = PatchDirection::kDenoise;
  std::vector<PathNode> senders =
      {};  ///< one result each; empty: embeddings, every head, every MLP
  std::vector<PathNode> receivers = {
      {.kind = PathNode::Kind::kFinalResidual}};  ///< patched together
  std::vector<int64_t> sender_positions = {};     ///< negative from the end; empty: all
  std::vector<int64_t> receiver_positions =
      {};  ///< the same; kFinalResidual is read where the metric is
  /// MLPs between sender and receivers compute on, as Wang et al. have it; otherwise they are held,
  /// too, and only direct paths count.
  bool through_mlps = false;
  int64_t position = -1;         ///< where the metric is read; negative from the end
  int64_t batch_tokens = 512;    ///< as PatchOptions::batch_tokens
  Progress* progress = nullptr;  ///< counts senders; null: nobody wants to know
};

struct PathPatching {
  double clean = 0, corrupt = 0;
  std::vector<PathNode> senders;  ///< [S], layers and heads from 0
  std::vector<double> values;     ///< [S] the metric
  std::vector<double> effects;    ///< [S] so that the corrupt prompt's is 0 and the clean one's 1
  PatchWork work;                 ///< cells: two passes a sender
};

/// Throws Error (user) as patch() does, for prompts of the same length alone; and for a node that
/// cannot send or receive.
PathPatching path_patch(const Model& model, std::span<const int32_t> clean,
                        std::span<const int32_t> corrupt, const PathOptions& options);

}  // namespace vitrine
