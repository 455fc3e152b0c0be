// SPDX-License-Identifier: MIT
#include "bench/measure/sizes.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/quote.h"

namespace vitrine::bench {
using namespace internal;
namespace {

struct Size {
  const char* name;
  int layers, heads;
  int64_t width;
};
constexpr Size kSizes[] = {{"gpt2", 12, 12, 768},
                           {"gpt2-medium", 24, 16, 1024},
                           {"gpt2-large", 36, 20, 1280},
                           {"gpt2-xl", 48, 25, 1600},
                           {"distilgpt2", 6, 12, 768}};

}  // namespace

const std::vector<std::string>& size_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const Size& size : kSizes) list.emplace_back(size.name);
    return list;
  }();
  return names;
}

Config size_config(const std::string& name) {
  for (const Size& size : kSizes) {
    if (name != size.name) continue;
    Config config;
    config.layers = size.layers;
    config.heads = size.heads;
    config.width = size.width;
    config.inner = 4 * size.width;
    config.vocab = 50257;
    config.context = 1024;
    return config;
  }
  user_error("unknown size '{}': expected one of {}", quote(name), fmt::join(size_names(), ", "));
}

}  // namespace vitrine::bench
