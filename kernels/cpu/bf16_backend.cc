// SPDX-License-Identifier: MIT
#include "kernels/cpu/bf16_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "base/default_threads.h"
#include "kernels/backend/arithmetic.h"
#include "kernels/cpu/bf16_linear.h"
#include "kernels/cpu/parallel.h"

// Products have kernels of their own; every other operation is CpuBackend's on float32 copies of
// its narrow matrices.

namespace vitrine::internal {
namespace {

constexpr int64_t kGrain = 1 << 15;  // elements that are worth a thread

enum class Use {
  kRead,
  kRound,   ///< read, and rounded if it is float32
  kWrite,   ///< whole
  kChange,  ///< read and written, or written for the rows of a batch alone
};

template <class F>
void for_each_row(int threads, Mat mat, const F& f) {
  cpu::parallel_chunks(threads, mat.rows, kGrain / (mat.cols + 1) + 1,
                       [&](int64_t begin, int64_t end) {
                         for (int64_t r = begin; r < end; ++r) f(r);
                       });
}

uint16_t* narrow_at(Mat mat, int64_t r) { return reinterpret_cast<uint16_t*>(mat.at(r, 0)); }

}  // namespace

/// Puts a float32 copy in the place of a narrow matrix; at its end, what was written there is
/// rounded into the matrix.
class Bf16CpuBackend::Wide {
 public:
  Wide(Bf16CpuBackend& backend, Mat& mat, Use use)
      : threads_(backend.threads_), narrow_(mat), use_(use) {
    if (!mat || (mat.dtype == DType::kF32 && use != Use::kRound)) return;
    lease_.emplace(backend.scratch_, static_cast<size_t>(mat.rows * mat.cols));
    wide_ = mat = Mat(lease_->memory.f32(), mat.rows, mat.cols);
    if (use != Use::kWrite) for_each_row(threads_, narrow_, [&](int64_t r) { read(r); });
  }
  Wide(const Wide&) = delete;
  Wide& operator=(const Wide&) = delete;
  ~Wide() {
    if (!wide_ || use_ == Use::kRead || use_ == Use::kRound) return;
    for_each_row(threads_, narrow_, [&](int64_t r) {
      cpu::narrow_row(wide_.row(r), wide_.cols, narrow_at(narrow_, r));
    });
  }

 private:
  struct Memory {
    Memory(cpu::ScratchPool& pool, size_t floats) : memory(pool.borrow(floats)) {}
    cpu::ScratchPool::Lease memory;
  };

  void read(int64_t r) {
    if (narrow_.dtype != DType::kF32)
      return cpu::widen_row(narrow_at(narrow_, r), wide_.cols, wide_.row(r));
    uint16_t rounded[256];
    for (int64_t j = 0; j < wide_.cols; j += 256) {
      const int64_t count = std::min<int64_t>(256, wide_.cols - j);
      cpu::narrow_row(narrow_.row(r) + j, count, rounded);
      cpu::widen_row(rounded, count, wide_.row(r) + j);
    }
  }

  int threads_;
  Mat narrow_, wide_;
  Use use_;
  std::optional<Memory> lease_;
};

Bf16CpuBackend::Bf16CpuBackend(const CpuOptions& options, const cpu::Bf16Unit& unit)
    : CpuBackend(options),
      unit_(unit),
      threads_(options.threads == 0 ? default_threads().threads : options.threads) {}

std::string Bf16CpuBackend::description() const {
  std::string text = CpuBackend::description();
  return text.insert(text.find(',') + 1, fmt::format(" bf16 arithmetic by {},", unit_.name));
}

DType Bf16CpuBackend::activation_dtype(DType weights) const {
  return weights == DType::kBF16 || weights == DType::kI8 ? DType::kBF16 : DType::kF32;
}

// --- forward

void Bf16CpuBackend::layernorm(const LayerNormArgs& args) {
  LayerNormArgs wide = args;
  const Wide out(*this, wide.out, Use::kWrite);
  CpuBackend::layernorm(wide);
}

void Bf16CpuBackend::layernorm_apply(const LayerNormArgs& args) {
  LayerNormArgs wide = args;
  const Wide out(*this, wide.out, Use::kWrite);
  CpuBackend::layernorm_apply(wide);
}

void Bf16CpuBackend::linear(const LinearArgs& args) {
  if (activation_dtype(args.weight->dtype) == DType::kF32) return CpuBackend::linear(args);
  cpu::linear_bf16(args, unit_, threads_, scratch_);
}

void Bf16CpuBackend::activate(Mat x, Activation activation, Mat out) {
  const Wide written(*this, out, Use::kWrite), read(*this, x, Use::kRead);
  CpuBackend::activate(x, activation, out);
}

void Bf16CpuBackend::add(Mat a, Mat b, Mat out) {
  const Wide written(*this, out, Use::kWrite), first(*this, a, Use::kRead),
      second(*this, b, Use::kRead);
  CpuBackend::add(a, b, out);
}

void Bf16CpuBackend::append_kv(Mat k, Mat v, int heads, int head_width, const PassBatch& batch,
                               std::byte* cache) {
  const Wide keys(*this, k, Use::kRead), values(*this, v, Use::kRead);
  CpuBackend::append_kv(k, v, heads, head_width, batch, cache);
}

void Bf16CpuBackend::attention(const AttentionArgs& args) {
  AttentionArgs wide = args;
  const Wide z(*this, wide.z, Use::kChange), q(*this, wide.q, Use::kRead);
  CpuBackend::attention(wide);
}

void Bf16CpuBackend::attention_scores(const AttentionArgs& args) {
  AttentionArgs wide = args;
  const Wide q(*this, wide.q, Use::kRead);
  CpuBackend::attention_scores(wide);
}

void Bf16CpuBackend::attention_mix(const AttentionArgs& args) {
  AttentionArgs wide = args;
  const Wide z(*this, wide.z, Use::kChange);
  CpuBackend::attention_mix(wide);
}

// --- backward

void Bf16CpuBackend::linear_backward(const LinearBackwardArgs& args) {
  const bool rounds = activation_dtype(args.weight->dtype) != DType::kF32;
  LinearBackwardArgs wide = args;
  const Wide dx(*this, wide.dx, Use::kWrite), product(*this, wide.product, Use::kWrite),
      dy(*this, wide.dy, rounds ? Use::kRound : Use::kRead);
  CpuBackend::linear_backward(wide);
}

void Bf16CpuBackend::activate_backward(Mat dy, Mat before, Activation activation, Mat dx) {
  const Wide written(*this, dx, Use::kWrite), read(*this, dy, Use::kRead),
      at(*this, before, Use::kRead);
  CpuBackend::activate_backward(dy, before, activation, dx);
}

void Bf16CpuBackend::layernorm_backward(const LayerNormBackwardArgs& args) {
  LayerNormBackwardArgs wide = args;
  const Wide dy(*this, wide.dy, Use::kRead);
  CpuBackend::layernorm_backward(wide);
}

void Bf16CpuBackend::layernorm_backward_scale(const LayerNormBackwardArgs& args) {
  LayerNormBackwardArgs wide = args;
  const Wide dy(*this, wide.dy, Use::kRead);
  CpuBackend::layernorm_backward_scale(wide);
}

void Bf16CpuBackend::layernorm_backward_apply(const LayerNormBackwardArgs& args) {
  LayerNormBackwardArgs wide = args;
  const Wide dy(*this, wide.dy, Use::kRead);
  CpuBackend::layernorm_backward_apply(wide);
}

void Bf16CpuBackend::attention_backward(const AttentionBackwardArgs& args) {
  AttentionBackwardArgs wide = args;
  const Wide q(*this, wide.q, Use::kRead), k(*this, wide.k, Use::kRead),
      v(*this, wide.v, Use::kRead), dz(*this, wide.dz, Use::kRead);
  const Wide dq(*this, wide.dq, Use::kChange), dk(*this, wide.dk, Use::kChange),
      dv(*this, wide.dv, Use::kChange);
  CpuBackend::attention_backward(wide);
}

void Bf16CpuBackend::attention_backward_pattern(const AttentionBackwardArgs& args) {
  AttentionBackwardArgs wide = args;
  const Wide v(*this, wide.v, Use::kRead), dz(*this, wide.dz, Use::kRead);
  CpuBackend::attention_backward_pattern(wide);
}

void Bf16CpuBackend::attention_backward_inputs(const AttentionBackwardArgs& args) {
  AttentionBackwardArgs wide = args;
  const Wide q(*this, wide.q, Use::kRead), k(*this, wide.k, Use::kRead),
      dz(*this, wide.dz, Use::kRead);
  const Wide dq(*this, wide.dq, Use::kChange), dk(*this, wide.dk, Use::kChange),
      dv(*this, wide.dv, Use::kChange);
  CpuBackend::attention_backward_inputs(wide);
}

void Bf16CpuBackend::logit_targets(const LogitTargetArgs& args) {
  LogitTargetArgs wide = args;
  const Wide seed(*this, wide.seed, Use::kWrite);
  CpuBackend::logit_targets(wide);
}

void Bf16CpuBackend::convert(Mat from, Mat to) {
  const Wide written(*this, to, Use::kWrite), read(*this, from, Use::kRead);
  CpuBackend::convert(from, to);
}

// --- sites

void Bf16CpuBackend::edit(const EditArgs& args) {
  EditArgs wide = args;
  const Wide x(*this, wide.x, Use::kChange);
  CpuBackend::edit(wide);
}

void Bf16CpuBackend::gather(Mat x, const Selection& where, DType store, std::byte* destination) {
  const Wide read(*this, x, Use::kRead);
  CpuBackend::gather(x, where, store, destination);
}

void Bf16CpuBackend::scatter(const float* source, const Selection& where, Mat x) {
  const Wide changed(*this, x, Use::kChange);
  CpuBackend::scatter(source, where, x);
}

Arithmetic arithmetic_from_name(std::string_view name) {
  if (name == "exact") return Arithmetic::kExact;
  if (name == "bf16") return Arithmetic::kBf16;
  user_error("unknown arithmetic '{}': expected exact or bf16", name);
}

std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options, Arithmetic arithmetic) {
  if (arithmetic == Arithmetic::kExact) return make_cpu_backend(options);
  return std::make_unique<Bf16CpuBackend>(options);
}

}  // namespace vitrine::internal
