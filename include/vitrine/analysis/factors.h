// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "vitrine/generate.h"
#include "vitrine/hooks.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Neuron factors (Alammar 2021, "Ecco", `run_nmf`): groups of MLP neurons that are active together,
// from a non-negative matrix factorisation of their activations.
//
// X [N tokens, M' neurons] is mlp.hook_post of the selected blocks, concatenated, with negative
// values set to 0. The factorisation X ~ W^T H minimises ||X - W^T H||_F over non-negative W [C, N]
// and H [C, M'].

enum class FactorInit : uint8_t {
  /// Absolute values of normal random numbers times sqrt(mean(X) / C), from a seed.
  kRandom,
  /// Singular vectors of X (Boutsidis & Gallopoulos 2008). Uses no seed, and often needs fewer
  /// iterations.
  kNndsvd,
};

/// "random" or "nndsvd".
std::string_view factor_init_name(FactorInit init);
/// Inverse of factor_init_name(). Throws Error (user) that lists both names.
FactorInit factor_init_from_name(std::string_view name);

struct FactorOptions {
  int components = 10;       ///< C, 1..min(N, M')
  Indices<int> layers = {};  ///< block indices; negative counts from the last; empty: all
  FactorInit init = FactorInit::kRandom;
  uint64_t seed = 0;  ///< seed of kRandom
  int max_iterations = 500;
  /// Converged when the projected gradient falls to this share of its value in the first iteration.
  double tolerance = 1e-4;
  /// Continues each text, and factorises the new tokens as well. Unset: the texts alone.
  std::optional<GenerateOptions> generate = {};
  int64_t batch_tokens = 512;  ///< maximum tokens per forward pass
  /// Edits applied during the generation and the run; captures are ignored.
  Hooks edits = {};
  /// Optional progress callback (counts tokens, then iterations); null disables reporting.
  Progress* progress = nullptr;
};

struct Factors {
  /// The input texts, with what was generated; tokens are numbered consecutively over all texts.
  Batch texts;
  /// [texts] number of tokens before those that were generated; empty: none was.
  std::vector<int64_t> prompt_tokens = {};
  std::vector<int> layers;  ///< ascending
  int64_t tokens = 0;       ///< N
  int64_t inner = 0;        ///< M, number of neurons per block
  int components = 0;       ///< C
  /// [C, N] strength of each component at each token. Components are ordered by their sum of
  /// squares, largest first.
  std::vector<double> strengths;
  /// [C, M'] weight of each neuron; each row has 2-norm 1. Neuron m of layers[l] has index l * M +
  /// m.
  std::vector<double> neurons;
  double relative_residual = 0;  ///< ||X - W^T H||_F / ||X||_F
  int iterations = 0;
  bool converged = false;  ///< false: stopped after max_iterations

  int64_t width() const { return inner * static_cast<int64_t>(layers.size()); }
  /// Strengths of one component, [N].
  std::vector<double> strengths_of(size_t component) const;
  /// Indices of the `count` largest weights in a component's row of `neurons`, largest first.
  std::vector<int64_t> top_neurons(size_t component, size_t count) const;
};

/// Coordinate descent on W and H in turn (Cichocki & Phan 2009; scikit-learn's `cd` solver), in
/// double precision. Holds X in float32, N x M' numbers. Throws Error (user) as Model::forward
/// and generate() do; for an empty list of texts; for more components than N or M'; and if no
/// activation is positive.
Factors factors(const Model& model, const Batch& texts, const FactorOptions& options = {});

}  // namespace vitrine
