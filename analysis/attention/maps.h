// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "vitrine/hooks.h"
#include "vitrine/model.h"
#include "vitrine/tensor.h"

namespace vitrine::internal {

/// The maps of some consecutive queries, layer by layer.
struct MapChunk {
  int64_t first_query = 0;
  int64_t queries = 0;
  int64_t keys = 0;  ///< that the last of these queries sees, or more
  /// One per requested layer: [requested heads, queries, keys] float32.
  std::vector<TensorView> maps = {};
};

inline constexpr int64_t kMapNumbersAtOnce = 16 << 20;

/// Runs a text and shows the maps of the chosen layers and heads, some queries at a time and in
/// order: whole maps of all heads would be L H T^2 numbers. The text is run in pieces after one
/// another, which gives the bits of one pass; with edits it is one piece, because an edit may count
/// positions from the end of what is run. `numbers_at_once`: about how many a piece's maps have.
/// Throws Error (user) as Model::forward does, for edits that reach none of these maps, and, if
/// `finite` names what is made of the maps, for a NaN in them.
void walk_attention_maps(const Model& model, std::span<const int32_t> ids,
                         const std::vector<int>& layers, const std::vector<int>& heads,
                         const Hooks& edits, const std::function<void(const MapChunk&)>& see,
                         int64_t numbers_at_once = kMapNumbersAtOnce, std::string_view finite = {});

/// Where the maps of these layers are.
std::vector<SiteRef> pattern_sites(const std::vector<int>& layers);

/// The layers (or heads) of a model, ascending, negatives from the last. Throws Error (user) for
/// one that is not there.
std::vector<int> resolve_layers(const Model& model, const Indices<int>& asked);
std::vector<int> resolve_heads(const Model& model, const Indices<int>& asked);

}  // namespace vitrine::internal
