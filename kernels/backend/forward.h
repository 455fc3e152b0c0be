// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/backend/activation.h"
#include "kernels/backend/batch.h"
#include "kernels/backend/mat.h"
#include "kernels/backend/weights.h"

namespace vitrine::internal {

/// y = act(x W + b) + residual, each optional part in that order.
struct LinearArgs {
  Mat x{};  ///< [rows, in]
  const PackedMatrix* weight = nullptr;
  const float* bias = nullptr;  ///< [out] or null
  Activation activation = Activation::kNone;
  Mat residual{};  ///< optional [rows, out]; may be the same memory as `out`
  Mat out{};       ///< [rows, out]
  Mat before{};    ///< optional [rows, out]: x W + b, before activation and residual
};

struct LayerNormArgs {
  Mat x{};                        ///< [rows, D]
  const float* weight = nullptr;  ///< [D]
  const float* bias = nullptr;    ///< [D]
  float epsilon = 1e-5f;
  Mat out{};    ///< [rows, D]: (x - mean) * (1 / scale) * weight + bias
  Mat scale{};  ///< optional [rows, 1]: sqrt(var + epsilon), biased variance
};

struct AttentionArgs {
  Mat q{};  ///< [rows, H K]; keys and values come from the cache, where append_kv has put them
  int heads = 0;       ///< H
  int head_width = 0;  ///< K, any size >= 1
  float scale = 1.0f;  ///< scores are scale * q.k
  const PassBatch* batch = nullptr;
  /// Number of nearest positions, its own included, that a query attends to; 0: all. A position
  /// further away is masked: a device leaves it out, a CPU gives it the weight 0.
  int64_t window = 0;
  std::byte* cache = nullptr;  ///< of this layer
  Mat z{};                     ///< [rows, H K], heads side by side
  float* scores = nullptr;     ///< optional map: scaled scores, -inf where masked
  float* pattern = nullptr;    ///< optional map: softmax of the scores, 0 where masked
  Mat lse{};                   ///< optional [rows, H]: log sum exp of each row of scores
};

/// What a forward pass is made of.
class ForwardOps {
 public:
  /// How activations that one operation writes and another reads are kept when the weights are
  /// stored as `weights`: the layernorms' output, queries, keys, values, mixed values and MLP
  /// neurons. The residual stream is always float32.
  virtual DType activation_dtype(DType weights) const = 0;
  /// The backend's own copy of a batch's numbers: bytes, and the filling of batch.placed.
  virtual size_t batch_bytes(int64_t rows, int64_t sequences) const = 0;
  virtual void place(const PassBatch& batch) = 0;
  /// out[r] = token row ids[r] + position row positions[r]. The token table is the transposed
  /// unembedding ([D, V] packed), so that tied weights are held once; an untied table is packed the
  /// same way. `position_table` is packed [D, P].
  virtual void embed(const PassBatch& batch, const PackedMatrix& token_table,
                     const PackedMatrix& position_table, Mat out) = 0;
  /// out[r] = the packed table's column for row r: one half of embed, for when the halves are
  /// looked at or edited.
  virtual void lookup(const PassBatch& batch, Lookup by, const PackedMatrix& table, Mat out) = 0;
  virtual void layernorm(const LayerNormArgs& args) = 0;
  /// The two halves of layernorm, for an edit of the scale between them; together the same bits as
  /// layernorm.
  virtual void layernorm_scale(Mat x, float epsilon, Mat scale) = 0;
  virtual void layernorm_apply(
      const LayerNormArgs& args) = 0;  ///< reads args.scale instead of computing it
  virtual void linear(const LinearArgs& args) = 0;
  /// linear(args) of layernorm(norm), whose `out` is args.x; one operation, which leaves args.x
  /// unwritten, where fuses() is true.
  virtual bool fuses(const LayerNormArgs&, const LinearArgs&) const { return false; }
  virtual void linear_of_layernorm(const LayerNormArgs& norm, const LinearArgs& args) {
    layernorm(norm);
    linear(args);
  }
  virtual void activate(Mat x, Activation activation, Mat out) = 0;
  virtual void add(Mat a, Mat b, Mat out) = 0;

  // --- attention
  /// Bytes of keys and values of one layer of one sequence, kept as `dtype` (an activation_dtype).
  virtual size_t kv_bytes(int64_t capacity, int heads, int head_width, DType dtype) const = 0;
  /// Appends the new tokens' keys and values (each [rows, H K]) to each sequence's `past` ones in
  /// this layer's cache.
  virtual void append_kv(Mat k, Mat v, int heads, int head_width, const PassBatch& batch,
                         std::byte* cache) = 0;
  virtual void attention(const AttentionArgs& args) = 0;
  /// append_kv(k, v) to args.cache, then attention(args); one operation where fuses() is true.
  virtual bool fuses(const AttentionArgs&) const { return false; }
  virtual void append_and_attend(Mat k, Mat v, const AttentionArgs& args) {
    append_kv(k, v, args.heads, args.head_width, *args.batch, args.cache);
    attention(args);
  }
  /// The three steps of attention over whole maps, for edits of scores or pattern; see the second
  /// rule.
  virtual void attention_scores(const AttentionArgs& args) = 0;   ///< writes args.scores
  virtual void attention_softmax(const AttentionArgs& args) = 0;  ///< args.scores to args.pattern
  virtual void attention_mix(
      const AttentionArgs& args) = 0;  ///< args.pattern and cached values to args.z

 protected:
  ~ForwardOps() = default;
};

}  // namespace vitrine::internal
