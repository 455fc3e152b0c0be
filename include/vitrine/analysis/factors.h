// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "vitrine/hooks.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Neuron factors (Alammar 2021, "Ecco", `run_nmf`): groups of MLP neurons that fire together, found
// by non-negative matrix factorisation of their activations.
//
// X [N tokens, M' neurons] is mlp.hook_post of the chosen blocks side by side, negative numbers set
// to 0. It is approximated by W^T H with W [C, N] and H [C, M'], both without negative numbers, so
// that ||X - W^T H||_F is small.

enum class FactorInit : uint8_t {
  /// |normal| numbers times sqrt(mean(X) / C), from a seed.
  kRandom,
  /// From the singular vectors of X (Boutsidis & Gallopoulos 2008): no seed, often fewer
  /// iterations.
  kNndsvd,
};

/// "random" or "nndsvd".
std::string_view factor_init_name(FactorInit init);
/// The inverse. Throws Error (user) naming both words.
FactorInit factor_init_from_name(std::string_view name);

struct FactorOptions {
  int components = 10;           ///< C, 1..min(N, M')
  std::vector<int> layers = {};  ///< blocks; negative from the last; empty: all
  FactorInit init = FactorInit::kRandom;
  uint64_t seed = 0;  ///< of the random start
  int max_iterations = 500;
  /// Done when the projected gradient has fallen to this share of what it was in the first
  /// iteration.
  double tolerance = 1e-4;
  int64_t batch_tokens = 512;    ///< tokens that go through the model at once
  Hooks edits = {};              ///< only the edits are used
  Progress* progress = nullptr;  ///< counts tokens, then iterations; null: nobody wants to know
};

struct Factors {
  Batch texts;              ///< as given; tokens are numbered through all of them
  std::vector<int> layers;  ///< ascending
  int64_t tokens = 0;       ///< N
  int64_t inner = 0;        ///< M, neurons of one block
  int components = 0;       ///< C
  /// [C, N] how strong each component is at each token. Components come in the order of their size,
  /// sum of squares.
  std::vector<double> strengths;
  /// [C, M'] how much each neuron takes part, each row of length 1 (2-norm): neuron m of layers[l]
  /// is at l * M + m.
  std::vector<double> neurons;
  double relative_residual = 0;  ///< ||X - W^T H||_F / ||X||_F
  int iterations = 0;
  bool converged = false;  ///< false: stopped at max_iterations

  int64_t width() const { return inner * static_cast<int64_t>(layers.size()); }
  /// The strengths of a component, [N].
  std::vector<double> strengths_of(size_t component) const;
  /// The `count` strongest neurons of a component: their places in its row of `neurons`, strongest
  /// first.
  std::vector<int64_t> top_neurons(size_t component, size_t count) const;
};

/// Coordinate descent on W and H in turn (Cichocki & Phan 2009; scikit-learn's `cd` solver), in
/// double precision. Holds X in float32, N x M' numbers. Throws Error (user) as Model::forward
/// does; for no text; for more components than N or M'; and where no neuron is above 0.
Factors factors(const Model& model, const Batch& texts, const FactorOptions& options = {});

}  // namespace vitrine
