// SPDX-License-Identifier: MIT
#include "kernels/buffer_pool.h"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <vector>

namespace vitrine::internal {
namespace {

/// Memory of which only so much can be had at a time.
class Store {
 public:
  explicit Store(size_t bytes) : left_(std::make_shared<size_t>(bytes)) {}
  size_t left() const { return *left_; }
  Buffer operator()(size_t bytes) const {
    if (bytes > *left_) throw std::runtime_error("out of memory");
    *left_ -= bytes;
    auto memory = std::make_shared<std::vector<std::byte>>(bytes);
    std::byte* data = memory->data();
    return {data, bytes,
            std::shared_ptr<void>(data, [memory, left = left_, bytes](void*) { *left += bytes; })};
  }

 private:
  std::shared_ptr<size_t> left_;
};

TEST(BufferPool, WhatARunUsedServesTheNext) {
  const Store store(1000);
  BufferPool pool(store);
  const void* first = pool.take(600).data();
  EXPECT_EQ(pool.free_bytes(), 600U);
  EXPECT_EQ(store.left(), 400U);
  const Buffer again = pool.take(500);
  EXPECT_EQ(again.data(), first);
  EXPECT_EQ(pool.free_bytes(), 0U);
}

TEST(BufferPool, KeptBuffersAreGivenUpBeforeARequestFails) {
  const Store store(1000);
  BufferPool pool(store);
  pool.take(300);
  pool.take(600);
  EXPECT_EQ(pool.free_bytes(), 900U);
  const Buffer large = pool.take(1000);
  EXPECT_EQ(large.bytes(), 1000U);
  EXPECT_EQ(pool.free_bytes(), 0U);
  EXPECT_THROW(pool.take(1), std::runtime_error);
}

}  // namespace
}  // namespace vitrine::internal
