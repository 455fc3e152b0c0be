// SPDX-License-Identifier: MIT
#include "bench/bench.h"
#include "bench/workloads/hook_sets.h"

// What can be requested by name, apart from what measures it: the options of `vitrine bench` need
// no more.

namespace vitrine::bench {
using namespace internal;

const std::vector<std::string>& workload_names() {
  static const std::vector<std::string> names = {
      "forward",  "prefill", "decode", "generate", "linear",    "attention", "saliency",
      "patching", "score",   "lens",   "capture",  "tokenizer", "load"};
  return names;
}

const std::vector<std::string>& hook_set_names() {
  static const std::vector<std::string> names = {"none", "residual",   "residual+mlp",
                                                 "maps", "everything", std::string(kEditSet)};
  return names;
}

}  // namespace vitrine::bench
