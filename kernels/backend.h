// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/dtype.h"

// The contract between the passes (engine/forward.cc, engine/backward.cc) and a machine that
// computes them.
//
// Everything here is a raw view: pointers into buffers that the backend allocated, sizes, strides.
// Sizes were checked by the caller before a pass starts; a backend checks only what it alone can
// know (memory, its own limits).
//
// Two rules bind every implementation, because the promise "watching changes nothing" rests on
// them:
//   1. An output element's value depends on the inputs that its formula names and on nothing else:
//   not on the number of rows computed together, not on the number of threads, not on which
//   optional destinations are requested. So each sum runs over its reduction axis in one order,
//   fixed by the operation
//      and the weight's shape.
//   2. A fused form and the composed form of the same formula give the same bits (bias, activation
//   and residual are
//      rounded to float32 at the same places). One exception: z of a device's composed attention,
//      and its gradients, agree with the fused ones to rounding, because the fused one mixes values
//      before it knows the sums; scores and pattern have the same bits.

namespace vitrine::internal {

/// Matrix in the backend's memory: element (i, j) is at offset i * stride + j from `data`. Float32,
/// except activations that a backend keeps between its operations in the weights' 16-bit type (see
/// Backend::activation_dtype).
struct Mat {
  std::byte* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;
  DType dtype = DType::kF32;

  Mat() = default;
  Mat(float* d, int64_t r, int64_t c) : Mat(d, r, c, c) {}
  Mat(float* d, int64_t r, int64_t c, int64_t s)
      : Mat(reinterpret_cast<std::byte*>(d), r, c, s, DType::kF32) {}
  Mat(std::byte* d, int64_t r, int64_t c, int64_t s, DType t)
      : data(d), rows(r), cols(c), stride(s), dtype(t) {}

  explicit operator bool() const { return data != nullptr; }
  std::byte* at(int64_t i, int64_t j) const {
    return data + (i * stride + j) * static_cast<int64_t>(dtype_size(dtype));
  }
  /// For float32 matrices only.
  float* f32() const { return reinterpret_cast<float*>(data); }
  float* row(int64_t i) const { return f32() + i * stride; }
  Mat columns(int64_t begin, int64_t count) const {
    return {at(0, begin), rows, count, stride, dtype};
  }
  Mat row_range(int64_t begin, int64_t count) const {
    return {at(begin, 0), count, cols, stride, dtype};
  }
};

/// Memory of one backend, freed with its owner. On a CPU: 64-byte aligned, in 2 MB pages where the
/// system gives them.
class Buffer {
 public:
  Buffer() = default;
  Buffer(void* data, size_t bytes, std::shared_ptr<void> owner)
      : data_(data), bytes_(bytes), owner_(std::move(owner)) {}
  std::byte* data() const { return static_cast<std::byte*>(data_); }
  float* f32() const { return static_cast<float*>(data_); }
  size_t bytes() const { return bytes_; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
  std::shared_ptr<void> owner_;
};

/// Bytes rounded up to whole lines of 64, which is what pieces of a buffer begin at.
constexpr size_t whole_lines(size_t bytes) { return (bytes + 63) & ~size_t{63}; }

/// A weight matrix as a checkpoint holds it, in host memory: the weight from input i to output o is
/// the element at data + (i * in_stride + o * out_stride). GPT-2's Conv1D is [in, out]; wte, seen
/// as the unembedding, is [out, in].
struct HostWeight {
  const void* data = nullptr;
  DType dtype = DType::kF32;  ///< f32, f16 or bf16
  int64_t in = 0, out = 0;
  int64_t in_stride = 0, out_stride = 0;
};

/// A weight matrix in the layout that the backend wants, in a buffer of the backend. A view: the
/// buffer outlives it.
///
/// CUDA's layout: [out][in], each output's inputs padded with zeros to whole chunks of 64 bytes.
/// The CPU's: columns (outputs) in panels of `kPanel`, each panel [in][kPanel], so that one row and
/// a thousand rows of activations walk the same memory in the same order. The last panel is padded
/// with zeros.
///
/// Stored as i8 (on a CPU), the weights of output o are whole numbers of -127 .. 127 times
/// scales[o] = max |w| / 127 over o's weights: w / scales[o], rounded to the nearest, to even at
/// ties. Where max |w| / 127 is below float32's normal numbers, the weights are zeros and so is the
/// scale; where a weight is a NaN or an infinity, the scale is a NaN.
struct PackedMatrix {
  const std::byte* data = nullptr;
  DType dtype = DType::kF32;  ///< as stored; arithmetic accumulates in float32 whatever it is
  int64_t in = 0, out = 0;
  int64_t panel_stride =
      0;  ///< bytes between one panel and the next (CPU), one output and the next (CUDA)
  int64_t input_stride = 0;  ///< bytes between one input and the next of the same output
  const float* scales =
      nullptr;  ///< i8 only: one for each output, filled up with zeros to whole panels

  /// The rows [begin, begin + count) of the matrix, that is: the part that multiplies those inputs.
  /// Shares the data.
  PackedMatrix inputs(int64_t begin, int64_t count) const;

  static constexpr int64_t kPanel = 16;
};

/// The activation functions of GPT-2 checkpoints, by the names of Hugging Face's
/// `activation_function`.
enum class Activation : uint8_t {
  kNone,
  kGeluTanh,   ///< "gelu_new", "gelu_pytorch_tanh", "gelu_fast": 0.5 x (1 + tanh(sqrt(2/pi) (x +
               ///< 0.044715 x^3)))
  kGeluErf,    ///< "gelu": x Phi(x)
  kGeluQuick,  ///< "quick_gelu": x sigmoid(1.702 x)
  kRelu,       ///< "relu"
  kSilu,       ///< "silu", "swish"
  kTanh,       ///< "tanh"
};

/// One sequence's part of a packed batch. Rows of all sequences are consecutive, without padding.
struct SequenceSlice {
  int64_t row = 0;   ///< its first row in the packed batch
  int64_t rows = 0;  ///< its new tokens in this pass
  int64_t past =
      0;  ///< tokens of it already in the cache; new token i attends to past + i + 1 positions
  int64_t cache = 0;     ///< where its keys and values begin in each layer's cache, in bytes;
                         ///< kv_bytes(capacity, ...) long
  int64_t capacity = 0;  ///< positions the cache holds; past + rows <= capacity
  int64_t map =
      0;  ///< where its [H, rows, past + rows] block of an attention map begins, in elements
};

/// The packed batch of a pass, as the operations that depend on tokens and positions see it.
struct PassBatch {
  std::span<const int32_t> ids{};        ///< [rows] token ids
  std::span<const int32_t> positions{};  ///< [rows] each sequence's own, from its past on
  std::span<const SequenceSlice> sequences{};
  std::byte* placed = nullptr;  ///< batch_bytes() in the backend's memory that place() has filled;
                                ///< null where that is 0
};

/// What a table is looked up by.
enum class Lookup : uint8_t { kTokens, kPositions };

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
  std::byte* cache = nullptr;  ///< of this layer
  Mat z{};                     ///< [rows, H K], heads side by side
  float* scores = nullptr;     ///< optional map: scaled scores, -inf where masked
  float* pattern = nullptr;    ///< optional map: softmax of the scores, 0 where masked
  Mat lse{};                   ///< optional [rows, H]: log sum exp of each row of scores
};

/// The gradient of linear() with respect to its input: dx = (dy W^T) * act'(before) + residual,
/// each optional part in that order. The activation is the one that made the input, so that a
/// gradient passes an MLP in two operations.
struct LinearBackwardArgs {
  Mat dy{};  ///< [rows, out]
  const PackedMatrix* weight = nullptr;
  Activation activation = Activation::kNone;
  Mat before{};    ///< [rows, in] float32: what the activation was applied to; only with an
                   ///< activation
  Mat residual{};  ///< optional [rows, in]; may be the same memory as `dx`
  Mat dx{};        ///< [rows, in]
  Mat product{};   ///< optional [rows, in]: dy W^T, before derivative and residual
};

/// The gradient of layernorm() with respect to its input. With c = x - mean(x), s = sqrt(mean(c^2)
/// + epsilon), e the scale that the forward pass divided by (s, or what an edit made of it) and n =
/// dy * weight:
///   dscale = -sum(n c) / e^2,   dc = n / e + dscale c / (D s),   dx = dc - mean(dc) + residual.
struct LayerNormBackwardArgs {
  Mat x{};                        ///< [rows, D] float32
  const float* weight = nullptr;  ///< [D]
  float epsilon = 1e-5f;
  Mat scale{};          ///< optional [rows, 1]: e; if it is not given, s
  bool frozen = false;  ///< the scale is taken for a constant: the term with dscale is left out
  Mat dy{};             ///< [rows, D]
  Mat dscale{};         ///< optional [rows, 1]
  Mat residual{};       ///< optional [rows, D] float32; may be the same memory as `dx`
  Mat dx{};             ///< [rows, D] float32
};

/// The gradient of attention() with respect to queries, keys and values, of sequences without a
/// past. With P the pattern:
///   dP = dz v^T,   dS = P * (dP - sum_j P dP),   dq = scale dS k,   dk = scale dS^T q,   dv = P^T
///   dz.
/// The sum over j equals dz . z, which a backend may use (see Backend::reads_attention_output).
struct AttentionBackwardArgs {
  Mat q{}, k{}, v{};   ///< [rows, H K] as the forward pass used them
  int heads = 0;       ///< H
  int head_width = 0;  ///< K
  float scale = 1.0f;  ///< scores are scale * q.k
  const PassBatch* batch = nullptr;
  Mat z{};               ///< [rows, H K] and
  Mat lse{};             ///< [rows, H] as attention() gave them; only for a backend that reads them
  Mat dz{};              ///< [rows, H K]
  bool frozen = false;   ///< the pattern is taken for a constant: dq and dk are zeros
  Mat dq{}, dk{}, dv{};  ///< [rows, H K]
  float* pattern = nullptr;   ///< map: of the composed steps
  float* dpattern = nullptr;  ///< map: optional for attention_backward; 0 where masked
  float* dscores = nullptr;   ///< the same
};

/// One term of a scalar that is differentiated, on one row of logits; p is the row's softmax, log
/// natural.
enum class LogitTermKind : uint8_t {
  kLogit,      ///< l[token]
  kLogProb,    ///< log p[token]
  kProb,       ///< p[token]
  kEntropy,    ///< -sum p log p
  kKl,         ///< sum r (log r - log p): from the reference distribution r to p
  kReverseKl,  ///< sum p (log p - log r)
};

struct LogitTerm {
  LogitTermKind kind = LogitTermKind::kLogit;
  int64_t row = 0;        ///< of the logits
  int32_t token = 0;      ///< for the first three kinds
  float weight = 1.0f;    ///< the term's factor in the sum
  int64_t reference = 0;  ///< for the last two: row of the references
};

/// Seeds of a backward pass: the gradient of a weighted sum of terms with respect to the logits.
struct LogitTargetArgs {
  Mat logits{};  ///< [rows, V] float32
  std::span<const LogitTerm>
      terms{};  ///< rows ascending; a row may have any number of terms, or none
  const float* references =
      nullptr;  ///< [references, V] log-probabilities, in the backend's memory
  Mat seed{};   ///< [rows, V]: sum of weight * d term / d logits; zeros for a row without terms
  std::span<double> values{};  ///< [terms], on the host: each term's value, without its weight
};

/// What of the unembedding a caller wants to keep of each row, without ever holding [rows, V].
///
/// A row is a distribution if no logit is NaN or +infinity and one is finite. Of any other row lse
/// and entropy are NaN, top_ids -1, top_logits NaN and watch_ranks 0; watch_logits are as they are.
struct LogitStatsArgs {
  Mat x{};  ///< [rows, D], already through the final layernorm if there is to be one
  const PackedMatrix* unembed = nullptr;
  Mat logits{};                 ///< instead of these two: [rows, V] float32 as they are
  int top_k = 0;                ///< how many of the best tokens to keep
  int32_t* top_ids = nullptr;   ///< [rows, top_k], best first; equal logits: the smaller id first
  float* top_logits = nullptr;  ///< [rows, top_k]
  float* lse = nullptr;         ///< [rows]: log of the sum of exp of all logits
  float* entropy = nullptr;     ///< optional [rows]: -sum p log p, in nats
  std::span<const int32_t>
      watch{};                    ///< [rows, n] ids to look up in each row, n = watch.size() / rows
  float* watch_logits = nullptr;  ///< [rows, n]
  int32_t* watch_ranks = nullptr;  ///< [rows, n]: 1 + the number of strictly greater logits
};

/// Which elements of a site's [rows, cols] an edit or a capture touches.
struct Selection {
  struct Range {
    int64_t begin = 0, count = 0;
  };
  std::span<const int64_t> rows{};  ///< row indices, ascending
  std::span<const Range> cols{};    ///< column ranges, ascending, disjoint
  int64_t width() const;            ///< total of the column counts
};

/// x[sel] = f(x[sel]); `operand` is [1, width] (the same for each row) or [rows, width].
enum class EditKind : uint8_t {
  kAdd,      ///< x + operand
  kScale,    ///< x * factor
  kReplace,  ///< operand
  kProject,  ///< x - (x . u) u for the unit vector u = operand, over the selected columns of each
             ///< row
};

struct EditArgs {
  Mat x{};
  Selection where{};
  EditKind kind = EditKind::kAdd;
  float factor = 1.0f;
  Mat operand{};
  /// Optional, one for each selected row: how many of the selected columns are touched, from the
  /// first. For maps, where a query sees no more keys than its position allows. Not with kProject.
  std::span<const int64_t> limits{};
};

/// Joins a block of rows to the mean and the centred sums of products of all rows before it. With m
/// and P the block's own mean and its rows' sum of (x - m) (x - m)^T, n its rows and d = m - mean
/// (Chan, Golub and LeVeque, 1979):
///   products += P + weight n / (weight + n) d d^T,   mean += n / (weight + n) d.
/// All float64 and in the backend's memory; each sum over rows runs from the first to the last.
struct MomentsArgs {
  const double* x = nullptr;  ///< [rows, width] side by side
  int64_t rows = 0, width = 0;
  double weight = 0;       ///< rows that were joined before
  double* mean = nullptr;  ///< [width]
  double* products =
      nullptr;  ///< [width, width] row by row; only the lower triangle is read and written
};

struct SampleArgs {
  Mat logits{};                       ///< [rows, V], left as it is
  float temperature = 1.0f;           ///< 0: greedy (the smallest id among equals)
  int top_k = 0;                      ///< 0: no limit
  float top_p = 1.0f;                 ///< 1: no limit; the token that crosses the threshold stays
  std::span<const double> uniform{};  ///< [rows] numbers in [0, 1), one drawn for each row
  std::span<int32_t> ids{};  ///< [rows] the result; -1 for a row that is not a distribution (see
                             ///< LogitStatsArgs)
};

/// What ends a step of a generation that a backend runs on its own, again and again: all memory is
/// the backend's.
struct NextStepArgs {
  Mat logits{};              ///< [sequences with a row, V]
  float temperature = 0.0f;  ///< as SampleArgs
  int top_k = 0;
  float top_p = 1.0f;
  const PassBatch* batch = nullptr;  ///< at most one row a sequence; its placed ids, positions and
                                     ///< pasts move on by a token
  int32_t* step = nullptr;           ///< [1] counts up from 0
  const double* uniforms = nullptr;  ///< [steps + 1, rows] numbers in [0, 1)
  double* uniform = nullptr;         ///< [rows] this step's of them; then the next one's
  int32_t* drawn = nullptr;   ///< [rows] this step's tokens, as SampleArgs; the next step reads 0
                              ///< for -1
  int32_t* tokens = nullptr;  ///< [steps, rows] every step's
  const std::byte* captured = nullptr;  ///< what this step has captured, or null
  size_t captured_bytes = 0;            ///< a multiple of 16
  std::byte* history = nullptr;         ///< [steps, captured_bytes]
};

/// Operations that were recorded once and can be run again, on the same memory.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void replay() = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  /// For people: "cpu (AVX2, 2 threads)".
  virtual std::string description() const = 0;
  /// For people: which kernels the backend has chosen so far where it had a choice, one line for
  /// each case that came up: "linear 1024 x 2304 x 768 bf16: hopper 128x192" (rows x out x in). Not
  /// while a pass runs.
  virtual std::vector<std::string> choices() const { return {}; }

  /// Names what is issued until end_range() in the device's own profiler, where it has one, with
  /// the bytes that it has to move and the operations of its products. Ranges nest.
  virtual void begin_range(const char* /*name*/, double /*bytes*/, double /*flops*/) {}
  virtual void end_range() {}

  // --- memory
  /// Throws Error (user) naming the bytes wanted and had.
  virtual Buffer allocate(size_t bytes) = 0;
  /// Bytes that allocate() could give now.
  virtual size_t available_bytes() const = 0;
  /// `host` may change as soon as the call returns.
  virtual void upload(void* device, const void* host, size_t bytes) = 0;
  /// Waits for everything that was to happen before.
  virtual void download(void* host, const void* device, size_t bytes) = 0;
  /// As download(), but returns at once. `host` is of allocate_host(); what is returned waits until
  /// the bytes are there, and must be called before the memory is given back.
  virtual std::function<void()> download_later(void* host, const void* device, size_t bytes) {
    download(host, device, bytes);
    return [] {};
  }
  /// Within the backend's memory; the two do not overlap.
  virtual void copy(void* to, const void* from, size_t bytes) = 0;
  /// Fills with zero bytes.
  virtual void clear(void* device, size_t bytes) = 0;
  /// Waits until all issued operations have completed.
  virtual void synchronize() = 0;
  /// Whether the host may read and write buffers directly.
  virtual bool host_memory() const = 0;
  /// Host memory for downloaded results; fast to copy to.
  virtual Buffer allocate_host(size_t bytes) = 0;
  /// Lock that callers hold from the first to the last operation of a pass: a device runs one pass
  /// at a time. It is recursive, so that a callback between two kernels may use the model.
  virtual std::unique_lock<std::recursive_mutex> exclusive() = 0;

  // --- weights
  /// Throws Error (user) for a type that the backend cannot multiply with.
  virtual size_t packed_bytes(int64_t in, int64_t out, DType store) const = 0;
  /// Lays `source` out at `destination` (packed_bytes long, 64-byte aligned), converted to `store`:
  /// f32, f16, bf16 or, on a CPU, i8.
  virtual PackedMatrix pack(const HostWeight& source, DType store, std::byte* destination) = 0;

  // --- forward
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

  // --- backward: gradients with respect to activations; weights are constants. Between operations
  // gradients are kept as activations are, those of the residual stream as float32.
  virtual void linear_backward(const LinearBackwardArgs& args) = 0;
  /// dx = dy * act'(before): applied by linear_backward after its product.
  virtual void activate_backward(Mat dy, Mat before, Activation activation, Mat dx) = 0;
  virtual void layernorm_backward(const LayerNormBackwardArgs& args) = 0;
  /// The two halves of layernorm_backward, for an edit of the scale between them; together the same
  /// bits.
  virtual void layernorm_backward_scale(
      const LayerNormBackwardArgs& args) = 0;  ///< writes args.dscale only
  virtual void layernorm_backward_apply(
      const LayerNormBackwardArgs& args) = 0;  ///< reads args.dscale instead of computing it
  /// Whether attention_backward() reads z and lse of the forward pass, which must then be kept.
  virtual bool reads_attention_output() const = 0;
  virtual void attention_backward(const AttentionBackwardArgs& args) = 0;
  /// The three steps of attention_backward over whole maps, for edited layers; see the second rule.
  virtual void attention_backward_pattern(
      const AttentionBackwardArgs& args) = 0;  ///< writes args.dpattern
  virtual void attention_backward_scores(
      const AttentionBackwardArgs& args) = 0;  ///< args.pattern, args.dpattern to args.dscores
  virtual void attention_backward_inputs(
      const AttentionBackwardArgs& args) = 0;  ///< args.pattern, args.dscores to dq, dk, dv
  virtual void logit_targets(const LogitTargetArgs& args) = 0;
  /// The same elements in another dtype.
  virtual void convert(Mat from, Mat to) = 0;

  // --- logits
  virtual void logit_stats(const LogitStatsArgs& args) = 0;
  virtual void sample(const SampleArgs& args) = 0;

  // --- recorded passes, for backends on which issuing an operation costs more than a small one
  // takes
  /// Whether those that follow can be called.
  virtual bool records() const { return false; }
  /// From here to end_recording() operations are noted instead of done. Whatever a later run is to
  /// see changed must then be in the backend's memory (the placed batch is); nothing may be
  /// uploaded, downloaded, or be of another size.
  virtual void begin_recording() {}
  /// Maximum number of row indices or column ranges in a selection while recording; longer lists
  /// would need an upload.
  virtual size_t recorded_list() const { return 0; }
  virtual std::unique_ptr<Recording> end_recording() { return nullptr; }
  /// Instead of end_recording(), where recording failed: the backend works again.
  virtual void abandon_recording() noexcept {}
  virtual void next_step(const NextStepArgs&) {}

  // --- hooks
  virtual void edit(const EditArgs& args) = 0;
  /// Copies the selection, packed [rows, width], to `destination` on the backend as `store` (f32,
  /// f16, bf16).
  virtual void gather(Mat x, const Selection& where, DType store, std::byte* destination) = 0;
  /// The inverse of a float32 gather: writes `source` [rows, width] to the selection.
  virtual void scatter(const float* source, const Selection& where, Mat x) = 0;

  // --- statistics of captured rows
  /// out = x - origin in float64, [rows, cols] side by side; without an origin [cols] x itself.
  /// `spoiled` becomes 1 if x has a NaN or an infinity, and stays what it is otherwise.
  virtual void widen(Mat x, const double* origin, double* out, int32_t* spoiled) = 0;
  virtual void join_moments(const MomentsArgs& args) = 0;
};

struct CpuOptions {
  int threads = 0;  ///< 0: default_threads()
};

/// Throws Error (user) for a negative thread count.
std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options = {});

/// How a GPU multiplies.
enum class Gemm : uint8_t {
  kExact,  ///< any number of rows in the same order of sums: a row's bits do not depend on how many
           ///< others there are
  kCublas,  ///< NVIDIA's cuBLASLt where it can, for comparison; it chooses an order of sums for
            ///< each shape
};
/// "exact" or "cublas"; throws Error (user) naming these two for another word.
Gemm gemm_from_name(std::string_view name);

struct CudaOptions {
  int device = 0;  ///< which GPU, as CUDA numbers them
  Gemm gemm = Gemm::kExact;
};

/// Throws Error (user) saying what is missing: a build with CUDA, a driver that is new enough, that
/// GPU, or one of compute capability 8.0 or later; or, for Gemm::kCublas, that library.
std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options = {});

}  // namespace vitrine::internal
