// SPDX-License-Identifier: MIT
#include <bit>
#include <limits>

#include "kernels/cuda/elementwise/elementwise.cuh"
#include "kernels/cuda/logits/select.cuh"
#include "kernels/cuda/runtime/cuda_backend.h"

// Sampling as Hugging Face's logits warpers do it, in their order: temperature, top-k, top-p; then
// one draw. Several blocks look for the best token of a row, each in a part of the vocabulary. The
// last of them to be done has the row's best one, and draws.
//
// A token's probability is a whole number, its *mass*: exp(score - highest score) in units so small
// that all of a vocabulary's fit in 63 bits. So a sum does not depend on its order, and a draw
// needs no sorting of the vocabulary. exp is float32's: a probability is right to about one part in
// a million.

namespace vitrine::internal {
namespace {

using namespace cuda;

constexpr int kMaxThreads = 1024, kMaxParts = kWarp;
constexpr int kTokensOfThread = 2;  // that it loads together
constexpr int kUsualBest =
    128;  // tokens at least that a draw without top-k looks at first; they have most of the mass
constexpr int kFewBest = 256;  // top_k up to which a shortlist is tried

struct Sampling {
  Rows<float> logits;
  int vocab;
  float temperature;  ///< 0: greedy
  int top_k;          ///< 0: no limit
  float top_p;
  float unit_mass;  ///< the best token's mass: a power of two
  const double* uniform;
  int32_t* ids;
  Key* bests;  ///< [row][part]
  uint32_t* counters;
};

/// The tokens of one row and what each weighs.
struct Tokens {
  const float* logits;
  int vocab;
  float temperature;
  float unit_mass;
  float highest = 0.0f;

  VITRINE_DEVICE float score(int id) const {
    return temperature == 0.0f ? logits[id] : logits[id] / temperature;
  }
  VITRINE_DEVICE Key key(int id) const { return key_of(score(id), id); }
  VITRINE_DEVICE Mass mass(float score) const {
    const float share = expf(score - highest);
    return share > 0.0f ? static_cast<Mass>(share * unit_mass) : 0;  // not if it is a NaN
  }
};

/// Bound below which a running sum stays that reaches `share` of `mass`: it has reached it once it
/// is beyond the bound.
VITRINE_DEVICE Mass below_share(float share, Mass mass) {
  const double wanted = ceil(static_cast<double>(share) * static_cast<double>(mass));
  if (!(wanted > 1.0)) return 0;
  const Mass whole = static_cast<Mass>(wanted);
  return (whole < mass ? whole : mass) - 1;
}

/// floor(uniform * mass), which is less than mass: exact, uniform being a multiple of 2^-53.
VITRINE_DEVICE Mass share_of(double uniform, Mass mass) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<Mass>(static_cast<Wide>(static_cast<Mass>(uniform * 0x1p53)) * mass >> 53);
}

/// A whole number summed over the block. `m.warps` is free again after the next barrier.
VITRINE_DEVICE Mass total_mass(const Tokens& t, uint32_t lowest, SelectMemory& m) {
  Mass mass = 0;
  for_each_token(t.vocab, [&](int id) {
    const float score = t.score(id);
    if (score_key(score) >= lowest) mass += t.mass(score);
  });
  mass = block_sum(mass, m.warps);
  __syncthreads();
  return mass;
}

/// From the best tokens alone; -1 if they are not enough to tell.
VITRINE_DEVICE int draw_from_shortlist(const Sampling& s, const Tokens& t, double uniform,
                                       SelectMemory& m) {
  const int limit = s.top_k > 0 && s.top_k < t.vocab ? s.top_k : 0;
  if (limit > kFewBest && t.vocab > kShortlist) return -1;
  int count = shortlist(
      t.vocab, limit > 0 ? limit : kUsualBest, [&](int id) { return t.key(id); }, m);
  if (count < 0) return -1;
  const uint32_t lowest = limit > 0 ? score_key_of(m.best[limit - 1]) : 0;
  const auto mass_at = [&](int i) {
    const Key key = m.best[i];
    return score_key_of(key) >= lowest ? t.mass(t.score(id_of(key))) : 0;
  };
  Mass mass = 0;
  if (limit > 0) {
    for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x))
      mass += mass_at(i);
    mass = block_sum(mass, m.warps);
    __syncthreads();
  } else {
    mass = total_mass(t, 0, m);
  }
  if (s.top_p < 1.0f) {
    const Crossing last = first_beyond(below_share(s.top_p, mass), count, mass_at, m);
    if (last.index == count) return -1;
    mass = last.before + mass_at(last.index);
  }
  const Crossing drawn = first_beyond(share_of(uniform, mass), count, mass_at, m);
  return drawn.index < count ? id_of(m.best[drawn.index]) : -1;
}

/// From all tokens, whatever their number and their masses.
VITRINE_DEVICE int draw_from_all(const Sampling& s, const Tokens& t, double uniform,
                                 SelectMemory& m) {
  const auto key_at = [&](int id) { return t.key(id); };
  Mass before = 0;
  uint32_t lowest = 0;
  if (s.top_k > 0 && s.top_k < t.vocab) {
    lowest = score_key_of(descend(
        t.vocab, 32, static_cast<Mass>(s.top_k - 1), key_at, [](Key) { return Mass{1}; }, before,
        m));
  }
  const auto mass_of = [&](Key key) {
    return score_key_of(key) >= lowest ? t.mass(t.score(id_of(key))) : 0;
  };
  Mass mass = total_mass(t, lowest, m);
  if (s.top_p < 1.0f) {
    const Key last = descend(t.vocab, 0, below_share(s.top_p, mass), key_at, mass_of, before, m);
    mass = before + mass_of(last);
  }
  return id_of(descend(t.vocab, 0, share_of(uniform, mass), key_at, mass_of, before, m));
}

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr Key kNothing = ~Key{0};  // a row's best if it has a NaN or infinity: above all others

/// The best token of this block's part of a row.
VITRINE_DEVICE Key best_of_part(const Tokens& t, SelectMemory& m) {
  const int step = static_cast<int>(gridDim.y * blockDim.x);
  Key best = 0;
#pragma unroll 1
  for (int first = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x); first < t.vocab;
       first += kTokensOfThread * step) {
    float logits[kTokensOfThread];
#pragma unroll
    for (int i = 0; i < kTokensOfThread; ++i)
      logits[i] = i == 0 || first + i * step < t.vocab ? t.logits[first + i * step] : -kInfinity;
#pragma unroll
    for (int i = 0; i < kTokensOfThread; ++i)
      best = larger(best, logits[i] < kInfinity ? key_of(logits[i], first + i * step) : kNothing);
  }
  return block_max(best, m.warps);
}

/// Replaces a part's best token by the row's. False if this is not the last block of the row.
/// `m` is free afterwards.
VITRINE_DEVICE bool join_parts(Key& best, Key* bests, uint32_t* counter, SelectMemory& m) {
  const int parts = static_cast<int>(gridDim.y);
  if (threadIdx.x == 0) {
    if (parts > 1) bests[blockIdx.y] = best;
    m.index = parts == 1 || last_to_arrive(counter, parts) ? 1 : 0;
  }
  __syncthreads();
  if (parts == 1) return true;
  if (m.index == 0) return false;
  best = warp_max(bests[lane_id() < parts ? lane_id() : 0]);
  return true;
}

__global__ void __launch_bounds__(kMaxThreads) sample_rows(Sampling s) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  SelectMemory& m = *shared_memory<SelectMemory>();
  const int64_t row = blockIdx.x;
  Tokens t{s.logits.at(row, 0), s.vocab, s.temperature, s.unit_mass};
  Key best = best_of_part(t, m);
  if (!join_parts(best, s.bests + row * gridDim.y, s.counters + row, m)) return;
  const bool valid = best != kNothing && t.logits[id_of(best)] > -kInfinity;
  int id = valid ? id_of(best) : -1;
  if (valid) t.highest = t.score(id);
  // A temperature so low that scores overflow leaves the best token alone.
  if (valid && s.temperature != 0.0f && fabsf(t.highest) < kInfinity) {
    id = draw_from_shortlist(s, t, s.uniform[row], m);
    if (id < 0) id = draw_from_all(s, t, s.uniform[row], m);
  }
  if (threadIdx.x == 0) s.ids[row] = id;
}

/// Blocks of each row; more rows than there are counters have one each.
int64_t parts_of(int64_t rows, int64_t vocab, size_t counters) {
  if (static_cast<size_t>(rows) > counters) return 1;
  return std::min<int64_t>(ceil_div(vocab, kMaxThreads * kTokensOfThread), kMaxParts);
}

}  // namespace

size_t CudaBackend::sample_bytes(Mat logits) const {
  return static_cast<size_t>(logits.rows * parts_of(logits.rows, logits.cols, kCounters)) *
         sizeof(Key);
}

void CudaBackend::sample_on_device(Mat logits, float temperature, int top_k, float top_p,
                                   const double* uniform, int32_t* ids, std::byte* memory) {
  const float unit_mass =
      static_cast<float>((uint64_t{1} << 62) / std::bit_ceil(static_cast<uint64_t>(logits.cols)));
  const LaunchShape shape{.grid = dim3(logits.rows, parts_of(logits.rows, logits.cols, kCounters)),
                          .block = dim3(threads_for(ceil_div(logits.cols, kQuad), kMaxThreads)),
                          .shared = sizeof(SelectMemory),
                          .may_start_early = true};
  launch(*device_, shape, sample_rows,
         Sampling{float_rows(logits, "sampling"), static_cast<int>(logits.cols), temperature, top_k,
                  top_p, unit_mass, uniform, ids, reinterpret_cast<Key*>(memory),
                  reinterpret_cast<uint32_t*>(counters_.data())});
}

void CudaBackend::sample(const SampleArgs& args) {
  std::byte* memory =
      scratch(sample_bytes(args.logits) + args.uniform.size_bytes() + args.ids.size_bytes());
  auto* uniform = reinterpret_cast<double*>(memory + sample_bytes(args.logits));
  auto* ids = reinterpret_cast<int32_t*>(uniform + args.uniform.size());
  upload(uniform, args.uniform.data(), args.uniform.size_bytes());
  sample_on_device(args.logits, args.temperature, args.top_k, args.top_p, uniform, ids, memory);
  download(args.ids.data(), ids, args.ids.size_bytes());
}

}  // namespace vitrine::internal
