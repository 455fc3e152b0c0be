// SPDX-License-Identifier: MIT
// A model after fork(), as Python's multiprocessing makes its workers.

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "tests/engine/test_device.h"
#include "tests/in_child.h"
#include "tests/sanitized.h"
#include "vitrine/error.h"
#include "vitrine/generate.h"
#include "vitrine/model.h"

extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }

namespace vitrine::testing {
namespace {

Model small_model() {
  return Model::random(
      {.layers = 2, .heads = 4, .width = 64, .inner = 256, .vocab = 211, .context = 64}, 7,
      testing_support::test_options({.threads = 3}));
}

std::vector<int32_t> tokens(int count) {
  std::vector<int32_t> ids;
  for (int i = 0; i < count; ++i) ids.push_back((i * 37 + 11) % 211);
  return ids;
}

bool same_logits(const Run& a, const Run& b) {
  const auto x = a.logits().f32(), y = b.logits().f32();
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size_bytes()) == 0;
}

/// Whether it throws Error (user) that speaks of fork().
bool is_refused(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.kind() == Error::Kind::kUser &&
           std::string(error.what()).find("fork()") != std::string::npos;
  }
  return false;
}

TEST(ForkOnAGpu, AChildIsRefused) {
  const Model model = small_model();
  const auto before = model.forward(tokens(5));
  EXPECT_EQ(in_child([&] {
              return is_refused([&] { model.forward(tokens(5)); }) &&
                     is_refused([] { small_model(); });
            }),
            0);
  EXPECT_TRUE(same_logits(model.forward(tokens(5)), before)) << "the parent goes on";
}

TEST(Fork, AChildUsesTheModelOfItsParent) {
  const Model model = small_model();
  const std::vector<int32_t> prompt = tokens(60);
  const auto before = model.forward(prompt);
  const auto text = generate(model, {tokens(20)}, {.max_new_tokens = 30}).sequences[0].ids;
  EXPECT_EQ(in_child([&] {
              return same_logits(model.forward(prompt), before) &&
                     generate(model, {tokens(20)}, {.max_new_tokens = 30}).sequences[0].ids == text;
            }),
            0);
  EXPECT_TRUE(same_logits(model.forward(prompt), before)) << "the parent goes on";
}

TEST(Fork, AChildLoadsAModelOfItsOwn) {
  const auto before = small_model().forward(tokens(60));
  EXPECT_EQ(in_child([&] { return same_logits(small_model().forward(tokens(60)), before); }), 0);
}

TEST(Fork, SeveralChildrenAtOnce) {
  const Model model = small_model();
  const auto before = model.forward(tokens(60));
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    children.push_back(fork());
    if (children.back() == 0) {
      alarm(300);
      bool right = true;
      for (int pass = 0; pass < 10; ++pass)
        right = right && same_logits(model.forward(tokens(60)), before);
      _exit(right ? 0 : 1);
    }
  }
  for (const pid_t child : children) {
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
}

// Another thread is inside a pass of a model of its own when the child is made.
TEST(Fork, DuringAPassOfAnotherThread) {
  if (!kForkAmongThreads) GTEST_SKIP() << "the address sanitizer's allocator may stay locked";
  const Model model = small_model();
  const auto before = model.forward(tokens(60));
  std::atomic<bool> over = false;
  std::thread other([&] {
    const Model own = small_model();
    while (!over) own.forward(tokens(40));
  });
  for (int child = 0; child < 20; ++child)
    EXPECT_EQ(in_child([&] { return same_logits(model.forward(tokens(60)), before); }), 0);
  over = true;
  other.join();
}

}  // namespace
}  // namespace vitrine::testing
