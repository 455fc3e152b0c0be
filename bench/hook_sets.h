#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "vitrine/captures.h"
#include "vitrine/hooks.h"

namespace vitrine::bench {

/// What benchmarks capture, by name: "none"; "residual", the stream before the first block and behind each; "maps", every
/// head's attention pattern; "everything", every site. As float32, which is what a capture is unless asked for otherwise.
const std::vector<std::string>& hook_set_names();
/// Throws Error (user) naming the known ones.
Hooks hook_set(std::string_view name);

double captured_bytes(const Captures& captures);

}  // namespace vitrine::bench
