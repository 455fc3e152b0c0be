// SPDX-License-Identifier: MIT
// Lists the launches of a pass on an emulated H200, which runs none of them: what
// tools/gpu_model.py predicts the time of.

#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/check.h"
#include "base/profile.h"
#include "tests/cuda_on_host/cuda_on_host.h"
#include "vitrine/generate.h"

namespace vitrine {
namespace {
using namespace internal;

constexpr const char* kUsage =
    "usage: list_launches MODEL decode|forward BATCH TOKENS none|residual|maps\n"
    "decode: a recorded step after TOKENS tokens, between the lines `record` and `recorded`\n"
    "forward: a pass over TOKENS tokens, all logits, after the line `pass`\n"
    "First comes the address of usual_gpu(), for the addresses of kernels in a symbol table.\n";

Hooks hooks_of(const std::string& name) {
  Hooks hooks;
  if (name == "residual")
    hooks.capture("blocks.0.hook_resid_pre").capture("blocks.*.hook_resid_post");
  else if (name == "maps")
    hooks.capture("blocks.*.attn.hook_pattern");
  else if (name != "none")
    user_error("unknown hooks '{}': expected none, residual or maps", name);
  return hooks;
}

int number(const char* text) {
  const int value = std::atoi(text);
  if (value < 1) user_error("invalid number '{}': expected one from 1 on", text);
  return value;
}

void print(const std::string& line) { std::printf("%s\n", line.c_str()); }

void list(const std::string& model_name, const std::string& workload, int batch, int tokens,
          const Hooks& hooks) {
  cuda_on_host::Gpu& gpu = cuda_on_host::usual_gpu();
  print(fmt::format("anchor\t{}", reinterpret_cast<const void*>(&cuda_on_host::usual_gpu)));
  gpu.capability = 90;
  gpu.processors = 132;
  gpu.list = print;
  set_profiling(true);
  const Model model = Model::load(model_name, {.device = "cuda"});
  const Batch prompts(static_cast<size_t>(batch),
                      std::vector<int32_t>(static_cast<size_t>(tokens)));
  if (workload == "decode") {
    generate(model, prompts, {.max_new_tokens = 16}, hooks);
  } else if (workload == "forward") {
    print("pass");
    model.forward(prompts, hooks, {.residence = Residence::kDevice});
  } else {
    user_error("unknown workload '{}': expected decode or forward", workload);
  }
}

int run(int count, char** words) {
  if (count != 6) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  list(words[1], words[2], number(words[3]), number(words[4]), hooks_of(words[5]));
  return 0;
}

}  // namespace
}  // namespace vitrine

int main(int count, char** words) {
  try {
    return vitrine::run(count, words);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "list_launches: %s\n", error.what());
    return 2;
  }
}
