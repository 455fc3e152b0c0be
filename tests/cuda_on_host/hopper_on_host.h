// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "tests/cuda_on_host/cuda_on_host.h"

// kernels/cuda/device/hopper.cuh on a CPU. What is asynchronous there happens as late as it may
// here: a tile arrives when no thread of the block can go on without it, the oldest or the newest
// first as the lanes run up or down; products are computed when they are waited for; who arrives at
// a barrier goes on after all others who can. From the beginning of a copy its destination holds
// NaNs.

namespace vitrine::internal::cuda_on_host {

uint32_t shared_address(const void* p);  ///< from the beginning of the block's shared memory

void barrier_init(uint64_t* barrier, int arrivals);
/// `bytes`, if any, are announced before the arrival.
void barrier_arrive(uint64_t* barrier, int bytes);
void barrier_wait(uint64_t* barrier, uint32_t parity);

/// `map` is what tensor_map() made.
void copy_tile(void* to, const std::byte* map, int row, int column, uint64_t* barrier);

void products_begin();
void products_commit();
void products_wait(int pending);
/// wgmma m64n<columns>k16; `left` and `right` are its descriptors.
void multiply(MmaKind kind, float* c, int columns, uint64_t left, uint64_t right, bool accumulate);

/// The products that a thread has begun.
struct Products {
  struct One {
    MmaKind kind;
    float* c;
    int columns;
    uint64_t left, right;
    bool accumulate;
    int group;
  };
  std::vector<One> pending;
  int group = 0;
  bool begun = false;  ///< products_begin() since the last wait
};

}  // namespace vitrine::internal::cuda_on_host
