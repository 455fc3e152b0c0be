// SPDX-License-Identifier: MIT
#include "bench/workloads/hook_sets.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/quote.h"
#include "bench/measure/random_matrix.h"

namespace vitrine::bench {
using namespace internal;

Hooks hook_set(std::string_view name, const Config& config) {
  Hooks hooks;
  if (name == "none") return hooks;
  if (name == "maps") return hooks.capture("blocks.*.attn.hook_pattern");
  if (name == "everything") return hooks.capture("*");
  if (name == kEditSet) return edit_set(config, 0.1f);
  if (name != "residual" && name != "residual+mlp")
    user_error("unknown set of hooks '{}': expected one of {}", quote(name),
               fmt::join(hook_set_names(), ", "));
  hooks.capture("blocks.0.hook_resid_pre").capture("blocks.*.hook_resid_post");
  if (name == "residual+mlp")
    hooks.capture("blocks.*.mlp.hook_post").capture("blocks.*.hook_mlp_out");
  return hooks;
}

Hooks edit_set(const Config& config, float size) {
  Hooks hooks;
  for (int layer = 0; layer < config.layers; ++layer) {
    std::vector<float> values = random_values(config.width, 30 + static_cast<uint64_t>(layer));
    for (float& value : values) value *= size;
    hooks.edit(site_name(Site::kResidPost, layer), add(Tensor::from(values)));
  }
  return hooks;
}

double captured_bytes(const Captures& captures) {
  double bytes = 0;
  for (const auto& entry : captures.entries()) {
    for (const auto& sequence : entry.sequences)
      bytes += static_cast<double>(sequence.values.bytes());
  }
  return bytes;
}

}  // namespace vitrine::bench
