// SPDX-License-Identifier: MIT
#pragma once

#include "tests/cuda_on_host/fused_sum.h"
#include "tests/cuda_on_host/hopper_on_host.h"

namespace vitrine::internal::cuda_on_host {

/// Runs all clusters of a grid, in ascending or descending order, blocks, warps and lanes alike.
void run_blocks(const Shape& shape, const std::function<void()>& thread, LaneOrder order,
                const TensorCore& core);
/// Of the blocks that run.
const TensorCore& tensor_core();

// Of the fiber that is running, and its block:
/// Gives way until `ready()` is true.
void wait_until(const std::function<bool()>& ready);
/// Lets all other threads go on as far as they can.
void stand_back();
/// Does `work` when no thread of the cluster can go on without it.
void when_idle(std::function<void()> work);
Products& products();
/// Whether all threads made what their copies brought visible to products.
bool products_see_all_copies();
/// The same place in the shared memory of a block of the cluster, which check_block() says to be
/// there.
std::byte* in_block(int rank, const void* place);
/// Ends the program if the cluster has no such block, or one that has ended.
void check_block(int rank);

[[noreturn]] void stop(const char* what);

}  // namespace vitrine::internal::cuda_on_host
