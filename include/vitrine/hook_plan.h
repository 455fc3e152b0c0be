// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vitrine/dtype.h"
#include "vitrine/hooks.h"
#include "vitrine/sites.h"
#include "vitrine/tensor.h"

namespace vitrine {

class HookPlan;

namespace internal {
struct CompiledHooks;
struct ModelState;
std::shared_ptr<const CompiledHooks> shared_hooks(const HookPlan& plan, const ModelState& model);
}  // namespace internal

/// One site that a pass would capture.
struct CaptureSpec {
  Site site;
  int layer;         ///< 0 for sites without a layer
  std::string name;  ///< "blocks.3.hook_resid_post"
  DType dtype;
  std::vector<int> heads;        ///< captured heads, for a site that has heads
  std::vector<int64_t> neurons;  ///< captured indices along the last axis, ascending; empty: all
  std::vector<Shape> shapes;     ///< by sequence, as Captures::view() has it
  size_t bytes = 0;              ///< of all sequences
};

/// Hooks compiled for one model by Model::compile(): sites and narrowings resolved, operands of
/// edits in the model's memory. Passes that take a plan repeat none of that. Immutable, cheap to
/// copy, usable by several threads at once; keeps the model's weights alive.
class HookPlan {
 public:
  /// The hooks that were compiled.
  const Hooks& hooks() const;
  /// What a pass over new sequences of these lengths captures, in the order of the pass, without
  /// running it. Throws Error (user) for a position or sequence that such a batch does not have.
  std::vector<CaptureSpec> describe(std::span<const int64_t> lengths) const;

 private:
  friend class Model;
  friend std::shared_ptr<const internal::CompiledHooks> internal::shared_hooks(
      const HookPlan& plan, const internal::ModelState& model);
  HookPlan(std::shared_ptr<const internal::ModelState> model,
           std::shared_ptr<const internal::CompiledHooks> compiled)
      : model_(std::move(model)), compiled_(std::move(compiled)) {}

  std::shared_ptr<const internal::ModelState> model_;
  std::shared_ptr<const internal::CompiledHooks> compiled_;  ///< uses the model's memory
};

}  // namespace vitrine
