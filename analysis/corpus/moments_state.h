// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

#include "analysis/corpus/identity.h"
#include "vitrine/corpus/corpus_moments.h"
#include "vitrine/running_moments.h"

namespace vitrine::internal {

/// What a run over a corpus leaves on disk, and goes on from.
struct MomentsState {
  CorpusMoments moments;
  CorpusPosition position;

  /// For the file: what a Moments is made of, by name.
  template <typename M, typename Visit>
  static void visit(M& moments, const Visit& visit) {
    visit("origin", moments.origin_);
    visit("mean", moments.mean_);
    visit("products", moments.products_);
    visit("rows", moments.rows_);
    visit("w", moments.w_);
    visit("wa", moments.wa_);
  }
  static Json numbers(const Moments& moments);
  /// Of observations without weights, there and back.
  static MomentSums sums(const Moments& moments);
  static void set_sums(Moments& moments, MomentSums sums);
  /// Throws Error (user) naming `file` for sizes that do not fit each other.
  static void set_numbers(Moments& moments, const Json& json, const std::string& file);
};

/// Whether the same sites have the same sums, to the bit.
bool same_sums(const CorpusMoments& a, const CorpusMoments& b);
/// Throws Error (user) for a file that is not a state or is damaged.
MomentsState read_moments_state(const std::filesystem::path& path);
/// Whole or not at all.
void write_moments_state(const MomentsState& state, const std::filesystem::path& path);

}  // namespace vitrine::internal
