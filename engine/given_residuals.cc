// SPDX-License-Identifier: MIT
#include "engine/given_residuals.h"

#include "base/check.h"
#include "engine/model_state.h"
#include "engine/prepared_pass.h"

namespace vitrine::internal {
namespace {

/// Batch with the number of residual rows per sequence; its ids are not read. Throws Error (user).
Batch rows_as_tokens(const std::vector<TensorView>& residuals, const Config& config) {
  Batch tokens;
  for (const TensorView& rows : residuals) {
    const bool fits = rows.shape().rank() == 2 && rows.shape()[1] == config.width;
    if (!fits)
      user_error("the residuals of sequence {} have shape {}: expected [tokens, {}]", tokens.size(),
                 rows.shape().to_string(), config.width);
    if (rows.dtype() != DType::kF32)
      user_error("the residuals of sequence {} are {}: expected f32", tokens.size(),
                 dtype_name(rows.dtype()));
    tokens.emplace_back(static_cast<size_t>(rows.shape()[0]), 0);
  }
  return tokens;
}

void place_rows(Backend& backend, void* to, const TensorView& rows) {
  if (rows.residence() == Residence::kDevice)
    backend.copy(to, rows.data(), rows.bytes());
  else
    backend.upload(to, rows.data(), rows.bytes());
}

}  // namespace

GivenResiduals::GivenResiduals(const ModelState& model, int layer,
                               const std::vector<TensorView>& residuals)
    : tokens(rows_as_tokens(residuals, model.config)) {
  if (layer < 0 || layer >= model.config.layers)
    user_error("layer {} is out of range: expected 0..{}", layer, model.config.layers - 1);
  start.layer = layer;
  start.place = [&model, layer, &residuals](PreparedPass& pass) {
    const Mat to = pass.forward_pass().layer(layer).resid_pre;
    for (size_t s = 0; s < residuals.size(); ++s) {
      const SequenceSlice& slice = pass.rows().slices[s];
      if (slice.rows > 0) place_rows(*model.backend, to.row(slice.row), residuals[s]);
    }
  };
}

void check_reached(const Plan& plan, int layer) {
  const auto check = [layer](Site site, int at, const std::string& name) {
    const bool reached = site_info(site).per_layer ? at >= layer : site > Site::kPosEmbed;
    if (!reached)
      user_error("a pass resumed at block {} does not reach '{}'; select later sites in the hooks",
                 layer, name);
  };
  for (const PlannedCapture& capture : plan.captures())
    check(capture.site, capture.layer, capture.name);
  for (const PlannedEdit& edit : plan.edits()) check(edit.site, edit.layer, edit.name);
}

}  // namespace vitrine::internal
