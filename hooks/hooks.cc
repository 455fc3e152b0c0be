// SPDX-License-Identifier: MIT
#include "vitrine/hooks.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace vitrine {
using namespace internal;
namespace {

/// Float32 without NaN. Infinities are values: -inf masks a score or a logit.
void require_f32(const Tensor& operand, std::string_view edit) {
  if (operand.empty() || operand.elements() == 0)
    user_error("the operand of {} is empty: expected a float32 tensor", edit);
  if (operand.dtype() != DType::kF32)
    user_error("the operand of {} is {}: expected a float32 tensor", edit,
               dtype_name(operand.dtype()));
  const std::span<const float> values = operand.f32();
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float x) { return std::isnan(x); });
  if (bad != values.end())
    user_error("the operand of {} is NaN at element {}: expected numbers", edit,
               bad - values.begin());
}

}  // namespace

Edit add(Tensor operand) {
  require_f32(operand, "add");
  Edit edit;
  edit.kind_ = Edit::Kind::kAdd;
  edit.operand_ = std::move(operand);
  return edit;
}

Edit scale(float factor) {
  if (!std::isfinite(factor))
    user_error("the factor of scale is {}: expected a finite number", factor);
  Edit edit;
  edit.kind_ = Edit::Kind::kScale;
  edit.factor_ = factor;
  return edit;
}

Edit zero() {
  // A replacement, not a multiplication: 0 * inf would not be 0.
  const float nothing = 0.0f;
  return replace(Tensor::from({&nothing, 1}));
}

Edit replace(Tensor operand) {
  require_f32(operand, "replace");
  Edit edit;
  edit.kind_ = Edit::Kind::kReplace;
  edit.operand_ = std::move(operand);
  return edit;
}

Edit project_out(const Tensor& direction) {
  require_f32(direction, "project_out");
  double squares = 0;
  for (float x : direction.f32()) squares += static_cast<double>(x) * x;
  if (!(squares > 0) || !std::isfinite(squares))
    user_error("the direction of project_out has length {}: expected a finite non-zero length",
               std::sqrt(squares));
  Edit edit;
  edit.kind_ = Edit::Kind::kProject;
  edit.operand_ = Tensor::from(direction.f32(), direction.shape());
  for (float& x : edit.operand_.f32()) x = static_cast<float>(x / std::sqrt(squares));
  return edit;
}

Edit replace_from(std::shared_ptr<const ActivationSource> run) {
  if (!run) user_error("missing run for replace_from");
  Edit edit;
  edit.kind_ = Edit::Kind::kSource;
  edit.source_ = std::move(run);
  return edit;
}

Edit callback(std::function<void(EditView&)> function, std::function<void(EditView&)> adjoint) {
  if (!function) user_error("missing function for callback");
  Edit edit;
  edit.kind_ = Edit::Kind::kCallback;
  edit.function_ = std::move(function);
  edit.adjoint_ = std::move(adjoint);
  return edit;
}

Edit straight_through(Edit edit) {
  edit.straight_through_ = true;
  return edit;
}

SiteSelector::SiteSelector(Site site)
    : pattern_(
          fmt::format("{}{}", site_info(site).per_layer ? "blocks.*." : "", site_info(site).name)),
      site_(site) {}

Hooks& Hooks::capture(SiteSelector sites, Where where, DType store) {
  if (!is_floating(store))
    user_error("captures of '{}' cannot be stored as {}: expected f32, f16 or bf16",
               sites.pattern(), dtype_name(store));
  captures_.push_back({std::move(sites), std::move(where), store, std::nullopt});
  return *this;
}

Hooks& Hooks::capture_into(SiteSelector sites, TensorMemory into, Where where) {
  capture(std::move(sites), std::move(where), into.dtype);
  captures_.back().into = into;
  return *this;
}

Hooks& Hooks::gradient(SiteSelector sites, Where where, DType store) {
  if (!is_floating(store))
    user_error("gradients of '{}' cannot be stored as {}: expected f32, f16 or bf16",
               sites.pattern(), dtype_name(store));
  gradients_.push_back({std::move(sites), std::move(where), store, std::nullopt});
  return *this;
}

Hooks& Hooks::edit(SiteSelector sites, Edit edit, Where where) {
  edits_.push_back({std::move(sites), std::move(edit), std::move(where)});
  return *this;
}

Hooks Hooks::only_edits() const {
  Hooks hooks;
  hooks.edits_ = edits_;
  return hooks;
}

Hooks Hooks::without_gradients() const {
  Hooks hooks = only_edits();
  hooks.captures_ = captures_;
  return hooks;
}

Hooks Hooks::without_edits() const {
  Hooks hooks = *this;
  hooks.edits_.clear();
  return hooks;
}

}  // namespace vitrine
