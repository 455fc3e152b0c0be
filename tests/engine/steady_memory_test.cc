// SPDX-License-Identifier: MIT
// Passes after the first of their kind take no memory from the system: none of the backend's, and
// on the host no block of the size of a matrix.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <new>
#include <string>
#include <vector>

#include "engine/model_state.h"
#include "tests/engine/odd_model.h"
#include "tests/engine/test_device.h"
#include "vitrine/analysis.h"
#include "vitrine/vitrine.h"

namespace {

// Below the smallest matrix of these tests, above lists of rows and sites.
constexpr size_t kMatrix = 4096;
std::atomic<uint64_t> matrices_on_heap = 0;

}  // namespace

// The replaced operators of this program.
void* operator new(size_t bytes) {
  if (bytes >= kMatrix) ++matrices_on_heap;
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace vitrine {
using namespace internal;
namespace {

using testing_support::on_cpu;
using testing_support::test_options;
using testing_support::tokens;

constexpr int kTokens = 40;

Config config() {
  Config config;
  config.layers = 3;
  config.heads = 2;
  config.width = 32;
  config.inner = 48;
  config.vocab = 1031;
  config.context = 64;
  return config;
}

Tensor constant(int64_t size, float value) {
  return Tensor::from(std::vector<float>(static_cast<size_t>(size), value));
}

struct Taken {
  uint64_t of_backend, on_heap;
};

class SteadyMemory : public ::testing::Test {
 protected:
  Taken taken_by(const std::function<void()>& pass) const {
    const Backend& backend = *state_of(model_).backend;
    const Taken before{backend.allocations(), matrices_on_heap};
    pass();
    return {backend.allocations() - before.of_backend, matrices_on_heap - before.on_heap};
  }

  /// `pass` three times: the first may take memory, the others must not.
  void expect_steady(const char* kind, const std::function<void()>& pass) const {
    SCOPED_TRACE(kind);
    pass();
    for (int i = 0; i < 2; ++i) {
      const Taken taken = taken_by(pass);
      EXPECT_EQ(taken.of_backend, 0u);
      // The emulated GPU's blocks have their shared memory there.
      if (on_cpu()) {
        EXPECT_EQ(taken.on_heap, 0u);
      }
    }
  }

  /// The same of the backend's memory alone.
  void expect_steady_backend(const char* kind, const std::function<void()>& pass) const {
    SCOPED_TRACE(kind);
    pass();
    EXPECT_EQ(taken_by(pass).of_backend, 0u);
  }

  Model model_ = Model::random(config(), 5, test_options({.threads = 1}));
  Batch batch_ = {tokens(kTokens, 1, config()), tokens(9, 2, config())};
};

TEST_F(SteadyMemory, CountsWhatIsTaken) {
  const Taken first = taken_by([&] { model_.forward(batch_); });
  EXPECT_GT(first.of_backend, 0u);
  EXPECT_EQ(taken_by([] { ::operator delete(::operator new(kMatrix)); }).on_heap, 1u);
}

TEST_F(SteadyMemory, OfPasses) {
  expect_steady("plain", [&] { model_.forward(batch_); });
  const HookPlan captures =
      model_.compile(Hooks()
                         .capture(Site::kResidPost)
                         .capture(Site::kPattern, {.layers = {1}})
                         .capture(Site::kZ, {.positions = {-1, 0}, .heads = {1}}, DType::kF16));
  expect_steady("captures", [&] { model_.forward(batch_, captures); });
  expect_steady("captures that stay", [&] {
    model_.forward(batch_, captures, {.logits = LogitRows::kNone, .residence = Residence::kDevice});
  });
  Tensor memory(DType::kF32, Shape{kTokens, 32});
  const HookPlan given = model_.compile(Hooks().capture_into(
      "blocks.1.hook_resid_post", {memory.data(), DType::kF32, memory.shape()}));
  expect_steady("captures into given memory", [&] { model_.forward(batch_[0], given); });
}

TEST_F(SteadyMemory, OfEdits) {
  const HookPlan edits =
      model_.compile(Hooks()
                         .edit(Site::kResidPre, add(constant(32, 0.25f)), {.layers = {1}})
                         .edit(Site::kZ, zero(), {.layers = {0}, .heads = {1}})
                         .edit(Site::kMlpPost, scale(0.5f), {.neurons = {3, 4}})
                         .edit(Site::kResidMid, project_out(constant(32, 1.0f)), {.layers = {2}})
                         .edit(Site::kAttnScores, add(constant(1, 0.5f)), {.layers = {1}}));
  expect_steady("edits", [&] { model_.forward(batch_, edits); });

  const auto calls = callback([](EditView& view) { view.values[0] += 1; });
  const HookPlan callbacks = model_.compile(Hooks()
                                                .edit(Site::kResidMid, calls, {.layers = {0}})
                                                .edit(Site::kPattern, calls, {.layers = {2}}));
  expect_steady("callbacks", [&] { model_.forward(batch_, callbacks); });

  const Hooks seen = Hooks().capture(Site::kMlpOut).capture(Site::kPattern, {.layers = {2}});
  for (const Residence where : {Residence::kHost, Residence::kDevice}) {
    const vitrine::Run other = model_.forward(batch_[0], seen, {.residence = where});
    Hooks hooks;
    hooks.edit(Site::kMlpOut, replace_from(other.shared_captures()), {.sequences = {0}});
    if (where == Residence::kHost)
      hooks.edit(Site::kPattern, replace_from(other.shared_captures()),
                 {.layers = {2}, .sequences = {0}});
    const HookPlan plan = model_.compile(hooks);
    expect_steady("another run's values", [&] { model_.forward(batch_, plan); });
  }
}

TEST_F(SteadyMemory, OfGradients) {
  const auto of = [&](const Target& target, const Hooks& hooks) {
    const HookPlan plan = model_.compile(hooks);
    return [this, target, plan] { backward(model_, batch_, {target, target}, plan); };
  };
  // What is seeded lies on the heap.
  expect_steady_backend("a logit", of(target::logit(3), Hooks().gradient(Site::kResidPre)));
  expect_steady_backend("maps",
                        of(target::log_prob(3), Hooks().gradient(Site::kPattern, {.layers = {1}})));
  expect_steady_backend("with edits and captures",
                        of(target::entropy(), Hooks()
                                                  .edit(Site::kZ, scale(0.5f), {.layers = {1}})
                                                  .capture(Site::kMlpPost)
                                                  .gradient(Site::kMlpPost)));
  expect_steady_backend(
      "of a site", of(target::norm("blocks.2.hook_resid_post"), Hooks().gradient(Site::kEmbed)));
}

TEST_F(SteadyMemory, OfSessions) {
  const HookPlan captures = model_.compile(Hooks().capture(Site::kResidPre));
  const HookPlan none = model_.compile({});
  expect_steady("a session", [&] {
    Session session = model_.session(2);
    session.forward(batch_, captures);
    for (int i = 0; i < 3; ++i) session.forward({{7}, {8}}, none);
    Session fork = session.fork(1, 3);
    fork.forward({{7}, {8}, {9}}, none);
  });
  const vitrine::Run run = model_.forward(batch_[0], captures, {.residence = Residence::kDevice});
  expect_steady("the rest of a pass",
                [&] { model_.session(1).forward_from(1, {run.view(Site::kResidPre, 1)}, none); });
  const TensorView rows = run.view(Site::kResidPre, 2);
  const Tensor host = model_.to_host(rows);
  expect_steady("logits of rows", [&] {
    model_.unembed(rows, {.top_k = 3});
    model_.unembed(host, {.top_k = 3});
  });
}

TEST_F(SteadyMemory, OfGenerations) {
  const HookPlan none = model_.compile({});
  GenerateOptions options{.max_new_tokens = 8};
  const auto generation = [&](const HookPlan& plan) {
    return [this, options, plan] { generate(model_, batch_, options, plan); };
  };
  // A GPU keeps what it recorded, and with it memory: the second generation takes two blocks more.
  if (!on_cpu()) generation(none)();
  expect_steady("greedy", generation(none));
  options.sampling = {.temperature = 0.8f, .top_k = 5, .seed = 3};
  expect_steady("sampled", generation(none));
  options.on_token = [](int, int32_t) { return true; };
  expect_steady("watched", generation(none));
  options.log_probabilities = 3;
  expect_steady("with log-probabilities", generation(none));
  options.sampling.repetition_penalty = 1.5f;
  expect_steady("penalised", generation(none));
}

}  // namespace
}  // namespace vitrine
