// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vitrine/config.h"
#include "vitrine/dtype.h"
#include "vitrine/hook_plan.h"
#include "vitrine/hooks.h"
#include "vitrine/load_report.h"
#include "vitrine/progress.h"
#include "vitrine/run.h"
#include "vitrine/tensor.h"
#include "vitrine/tokenizer.h"

namespace vitrine {

class Model;
class Session;

namespace internal {
struct ModelState;
const ModelState& state_of(const Model& model);
}  // namespace internal

struct ModelOptions {
  /// Device: "cpu", "cuda" (the first GPU), or "cuda:N". Sites, shapes and guarantees are the same
  /// on all devices. On a GPU, matrix products with 16-bit weights round activations to the
  /// weights' type and accumulate in float32.
  std::string device = "cpu";
  /// Matrix product on a GPU: "exact" (the bits of a row do not depend on the number of rows), or
  /// "cublas" (NVIDIA's library, for comparison). The CPU always uses "exact".
  std::string gemm = "exact";
  /// Arithmetic on a CPU: "exact" (activations are float32), or "bf16" (as on a GPU with 16-bit
  /// weights: activations between operations are rounded to bfloat16, sums and the residual stream
  /// are float32), which expects weights stored as bf16 or i8. A GPU takes "exact" alone: there the
  /// weights' type decides.
  std::string arithmetic = "exact";
  /// Storage type of weights: f32, f16, bf16 or, on a CPU, i8 (integers with one scale per output).
  /// Accumulation is float32. nullopt: the checkpoint's type, which gives the same bits as f32 from
  /// fewer bytes.
  std::optional<DType> dtype = {};
  /// Folder of a LoRA adapter (PEFT: adapter_config.json and adapter_model.safetensors) of the
  /// model, merged into its weights at load; empty: none.
  std::filesystem::path adapter = {};
  /// Number of CPU threads; 0: the least of the CPUs that the process may run on, the control
  /// groups' quota of CPU time rounded up, OMP_NUM_THREADS and SLURM_CPUS_PER_TASK. Results do not
  /// depend on it.
  int threads = 0;
  /// File or directory of another tokenizer than the checkpoint's; empty: the checkpoint's.
  std::string tokenizer = {};
  /// Tokens that Model::encode() puts around a text: "auto" (those that the tokenizer's files name,
  /// as transformers does), "none", or the id of one token that goes before it.
  std::string bos = "auto";
  /// Maximum bytes of weights, caches, activations and captures together; 0: the device's free
  /// memory.
  size_t memory_limit = 0;
  /// Optional progress callback of loading, in bytes; null disables reporting. Used only during the
  /// call.
  Progress* progress = nullptr;
  /// Called before each layer of every forward and backward pass, on the calling thread; null: not
  /// called. It may throw to cancel a pass: the exception passes through the call, which leaves the
  /// model as it was. A session whose pass was cancelled keeps its length.
  std::function<void()> between_layers = {};
};

struct ForwardOptions {
  LogitRows logits = LogitRows::kAll;
  /// kDevice: logits and captures stay on the model's device, and the host cannot read their views
  /// (see Model::to_host). Copying all logits of a long prompt from a GPU takes longer than
  /// computing them.
  Residence residence = Residence::kHost;
};

/// A batch: the token ids of each sequence. Lengths may differ; nothing is padded.
using Batch = std::vector<std::vector<int32_t>>;

/// Result of unembed(), without the full logits [rows, V]. A row of which a logit is NaN or
/// +infinity, or none finite, has no distribution: its lse and entropy are NaN, its ranks 0, its
/// top_ids -1.
struct LogitStats {
  int64_t rows = 0;
  int top_k = 0;
  std::vector<int32_t> top_ids;   ///< [rows, top_k], best first; ties by smaller id
  std::vector<float> top_logits;  ///< [rows, top_k]
  /// [rows] log sum exp of the logits, so that log p = logit - lse, in nats
  std::vector<float> lse;
  std::vector<float> entropy;        ///< [rows] in nats
  std::vector<float> target_logits;  ///< [rows]
  /// [rows] 1 + the number of tokens with a strictly greater logit
  std::vector<int32_t> target_ranks;
  std::vector<float> watch_logits;   ///< [rows, watched ids]
  std::vector<int32_t> watch_ranks;  ///< [rows, watched ids]
};

struct UnembedOptions {
  bool final_layernorm = true;  ///< applies ln_final to the rows first
  /// The rows are logits [rows, V] already, such as the captured site `logits` with its edits:
  /// statistics alone are computed. Not together with final_layernorm.
  bool rows_are_logits = false;
  int top_k = 0;                      ///< number of best tokens to keep per row
  std::vector<int32_t> targets = {};  ///< [rows] one token id to look up per row, or empty
  std::vector<int32_t> watch = {};    ///< token ids to look up in every row
};

/// GPT-2 model. Copies share the weights. Const member functions are thread-safe.
class Model {
 public:
  /// `name_or_path`: a directory or file of a checkpoint, "demo", or a name in the local Hugging
  /// Face cache ("gpt2", "gpt2@REVISION"). Never accesses the network. Throws Error (user) naming
  /// the file and its defect.
  static Model load(const std::string& name_or_path, const ModelOptions& options = {});
  /// Directory or file that load() would open, for access to other files of the checkpoint such as
  /// the tokenizer. Throws Error (user) that lists the searched places.
  static std::filesystem::path locate(const std::string& name_or_path);
  /// Model with random weights for benchmarks and tests. The weights depend only on the
  /// configuration and the seed, on every machine.
  static Model random(const Config& config, uint64_t seed, const ModelOptions& options = {});

  const Config& config() const;
  /// Throws Error (user) if the checkpoint has no tokenizer, or one that cannot be used, with the
  /// reason. A model loads without: everything works by ids. A tokenizer may have more tokens than
  /// the model.
  const Tokenizer& tokenizer() const;
  /// Null if the checkpoint has no tokenizer that can be used.
  std::shared_ptr<const Tokenizer> shared_tokenizer() const;
  /// Tokens around each text, by ModelOptions::bos.
  const Tokenizer::Frame& frame() const;
  /// The tokenizer's encode() with frame() around it: what a prompt is to the model.
  std::vector<int32_t> encode(std::string_view text,
                              Tokenizer::Special special = Tokenizer::Special::kText) const;
  /// The same with spans, which are empty for the tokens of frame().
  std::vector<Tokenizer::Piece> encode_with_spans(
      std::string_view text, Tokenizer::Special special = Tokenizer::Special::kText) const;
  /// Tokens that end a text: eos_token_id of generation_config.json or else of config.json; without
  /// one the tokenizer's end of text, if the model has it.
  const std::vector<int32_t>& end_ids() const;
  DType dtype() const;
  size_t weight_bytes() const;
  /// As ModelOptions has it.
  std::string arithmetic() const;
  std::string device_description() const;
  std::string name() const;
  /// What the checkpoint holds and this model does not use; empty for random weights.
  const LoadReport& load_report() const;
  /// Kernels selected so far for each shape of matrix product that has alternatives: "linear 1024 x
  /// 2304 x 768 bf16: ...".
  std::vector<std::string> kernel_choices() const;

  /// One pass over one sequence. Throws Error (user) for an empty sequence, a sequence longer than
  /// the context, an id outside the vocabulary, hooks that do not match the model, and a run that
  /// does not fit in memory (naming the bytes per site).
  Run forward(std::span<const int32_t> ids, const Hooks& hooks = {},
              const ForwardOptions& options = {}) const;
  /// One pass over a batch. The results of a sequence have the same bits alone and in any batch.
  Run forward(const Batch& batch, const Hooks& hooks = {},
              const ForwardOptions& options = {}) const;
  /// The same with hooks that were compiled for this model. Throws Error (user) for a plan of
  /// another model.
  Run forward(std::span<const int32_t> ids, const HookPlan& plan,
              const ForwardOptions& options = {}) const;
  Run forward(const Batch& batch, const HookPlan& plan, const ForwardOptions& options = {}) const;

  /// Resolves hooks for this model, once for many passes. Throws Error (user) for hooks that do not
  /// fit the model.
  HookPlan compile(const Hooks& hooks) const;

  /// Creates sequences with a key/value cache of `capacity` positions each (at most the context; 0:
  /// the context).
  Session session(int sequences = 1, int64_t capacity = 0) const;

  /// Copies a view of this model's results from host or device memory to host memory.
  Tensor to_host(TensorView view) const;
  /// The same captures with all values in host memory; without a copy if they are there already.
  std::shared_ptr<const Captures> to_host(std::shared_ptr<const Captures> captures) const;

  /// Token embeddings of `ids` (rows of wte): [ids, D] float32, in host memory. Throws Error (user)
  /// for an id outside the vocabulary.
  Tensor embed(std::span<const int32_t> ids) const;
  /// Rows of the unembedding (columns of W_U) as the checkpoint has them, whatever the type in
  /// which the model stores its weights: [ids, D] float32, in host memory. Throws Error (user) for
  /// an id outside the vocabulary.
  Tensor unembedding(std::span<const int32_t> ids) const;
  /// b_U of `ids` (lm_head.bias), which is added to the logits: [ids] float32, in host memory; zero
  /// for a model without. Throws Error (user) for an id outside the vocabulary.
  Tensor unembedding_bias(std::span<const int32_t> ids) const;

  /// Unembeds rows [rows, D] of the residual stream, in host memory or (float32 only) on the
  /// model's GPU, and keeps only the requested results. Throws Error (user) for a row width other
  /// than D (V for logits), an id outside the vocabulary, and a number of targets that is neither 0
  /// nor `rows`.
  LogitStats unembed(TensorView rows, const UnembedOptions& options) const;

 private:
  friend class Session;
  friend const internal::ModelState& internal::state_of(const Model& model);
  explicit Model(std::shared_ptr<const internal::ModelState> state) : state_(std::move(state)) {}
  std::shared_ptr<const internal::ModelState> state_;
};

/// Growing sequences. Each pass appends tokens and gives the same bits as one pass over the whole
/// sequences.
class Session {
 public:
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  /// Runs the new tokens of each sequence (an empty list leaves a sequence unchanged). Throws Error
  /// (user) as Model::forward does, and for a sequence that would exceed its capacity.
  Run forward(const Batch& tokens, const Hooks& hooks = {}, const ForwardOptions& options = {});
  Run forward(const Batch& tokens, const HookPlan& plan, const ForwardOptions& options = {});
  /// Resumes a pass at block `layer` from given rows of the residual stream: residuals[s] is [t, D]
  /// float32 in host memory or on the model's device, blocks.<layer>.hook_resid_pre of the next t
  /// tokens of sequence s (t = 0 leaves it unchanged). Keys and values of the blocks before `layer`
  /// are not written, so later passes of the session must resume at `layer` as well. Throws Error
  /// (user) as forward() does; for a layer out of range, rows of a different width or dtype, and
  /// hooks at sites before `layer`, which this pass does not reach.
  Run forward_from(int layer, const std::vector<TensorView>& residuals, const Hooks& hooks = {},
                   const ForwardOptions& options = {});
  Run forward_from(int layer, const std::vector<TensorView>& residuals, const HookPlan& plan,
                   const ForwardOptions& options = {});
  /// Creates a session of `copies` sequences, each with the keys and values of `sequence`: for many
  /// continuations or interventions after one prefix. Throws Error (user) for a sequence out of
  /// range, and if it does not fit in memory.
  Session fork(int sequence, int copies) const;

  int64_t length(int sequence) const;
  /// Discards all positions from `length` on. Throws Error (user) if the sequence is shorter.
  void truncate(int sequence, int64_t length);

 private:
  friend class Model;
  struct State;
  explicit Session(std::unique_ptr<State> state);
  HookPlan compile(const Hooks& hooks) const;
  std::unique_ptr<State> state_;
};

}  // namespace vitrine
