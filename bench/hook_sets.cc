#include "bench/hook_sets.h"

#include "base/check.h"
#include "base/quote.h"

namespace vitrine::bench {

const std::vector<std::string>& hook_set_names() {
  static const std::vector<std::string> names = {"none", "residual", "maps", "everything"};
  return names;
}

Hooks hook_set(std::string_view name) {
  Hooks hooks;
  if (name == "none") return hooks;
  if (name == "residual") return hooks.capture("blocks.0.hook_resid_pre").capture("blocks.*.hook_resid_post");
  if (name == "maps") return hooks.capture("blocks.*.attn.hook_pattern");
  if (name == "everything") return hooks.capture("*");
  user_error("there is no set of hooks '{}'; the sets are {}", quote(name), fmt::join(hook_set_names(), ", "));
}

double captured_bytes(const Captures& captures) {
  double bytes = 0;
  for (const auto& entry : captures.entries()) {
    for (const auto& sequence : entry.sequences) bytes += static_cast<double>(sequence.values.bytes());
  }
  return bytes;
}

}  // namespace vitrine::bench
