// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "bench/measure/samples.h"
#include "vitrine/model.h"

namespace vitrine::bench {
using namespace internal;

struct EngineBenchOptions {
  Config config;
  std::string size = "gpt2";
  DType dtype = DType::kF32;
  int threads = 1;
  int rounds = 7;        ///< of the whole set, each with its own look at the ceilings
  int64_t prompt = 512;  ///< tokens of the prefill
  int64_t past = 64;     ///< tokens before the first decoded one
  int64_t steps = 16;    ///< decoded tokens a round
};

/// Everything measured for one stored type and thread count. Ratios are of neighbouring
/// measurements, taken in turns.
struct EngineBenchResult {
  EngineBenchOptions options;
  std::string device;
  double weight_bytes = 0;

  // Ceilings: GB/s and GFLOP/s.
  Samples read, write, fma, sgemm;

  Samples decode;           ///< seconds a token
  double decode_bytes = 0;  ///< read for a token: every weight once, and the keys and values so far
  Samples decode_of_read;   ///< share of the read bandwidth of the same round
  Samples decode_residual, decode_all;  ///< time with captures / time without

  Samples prefill;  ///< seconds for the prompt, logits of its last token
  double prefill_operations = 0;
  Samples prefill_of_fma, prefill_of_sgemm;
  Samples prefill_residual;  ///< ratio
  Samples prefill_logits;    ///< seconds, logits of all tokens
  Samples prefill_all;       ///< ratio to that, every site captured
  double all_bytes = 0;      ///< what every site of the prompt takes
};

/// Measures, and checks what it measures: finite logits, the same bits with and without captures,
/// decode equal to a pass over everything. Throws Error if a check fails: then the figures mean
/// nothing.
EngineBenchResult run_engine_bench(const EngineBenchOptions& options);

}  // namespace vitrine::bench
