// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "tests/cuda_on_host/cuda_on_host.h"

// kernels/cuda/device/hopper.cuh on a CPU. What is asynchronous there happens as late as it may
// here: a tile arrives when no thread of the cluster can go on without it, the oldest or the newest
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

/// To each block of the cluster whose bit is set, at different times.
void copy_tile_to(unsigned blocks, void* to, const std::byte* map, int row, int column,
                  uint64_t* barrier);

int cluster_rank();
void cluster_barrier();
void barrier_arrive_at(int rank, uint64_t* barrier);

void products_begin();
void products_commit();
void products_wait(int pending);
/// wgmma m64n<columns>k16; `left` and `right` are its descriptors.
void multiply(MmaKind kind, float* c, int columns, uint64_t left, uint64_t right, bool accumulate);
/// wgmma m64n64k16 with the left operand in registers.
void multiply(MmaKind kind, float* c, Left left, uint64_t right, bool accumulate);
/// fence.proxy.async; a product after copy_async_wait() without it ends the program.
void products_see_copies();

/// The products that a thread has begun.
struct Products {
  struct One {
    MmaKind kind;
    float* c;
    int columns;
    uint64_t left, right;
    bool accumulate;
    int group;
    bool in_registers = false;  ///< the left operand, which is then
    uint16_t rows[2][16] = {};  ///< l / 4 and l / 4 + 8
  };
  std::vector<One> pending;
  int group = 0;
  bool begun = false;  ///< products_begin() since the last wait
  bool sees_copies = true;
};

}  // namespace vitrine::internal::cuda_on_host
