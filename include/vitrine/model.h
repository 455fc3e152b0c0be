// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vitrine/config.h"
#include "vitrine/dtype.h"
#include "vitrine/hooks.h"
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
  /// Where to run: "cpu", "cuda" (the first GPU), or "cuda:N". Sites, shapes and promises are the
  /// same everywhere; on a GPU 16-bit weights are multiplied as such (activations are rounded to
  /// their type), with float32 sums.
  std::string device = "cpu";
  /// How a GPU multiplies matrices of many rows: "exact" (every row the same bits however many
  /// there are), or, by name, "fast" (Hopper's own instructions for 16-bit weights, which round
  /// otherwise) or "cublas" (NVIDIA's library, for comparison). The CPU has one way, which is
  /// exact.
  std::string gemm = "exact";
  /// How weights are stored: f32, f16, bf16 or, on a CPU, i8 (whole numbers with a scale for each
  /// output); sums are float32. Nothing: as the checkpoint stores them, which gives the same
  /// results as f32 to the bit, from fewer bytes.
  std::optional<DType> dtype = {};
  /// 0: as many as the process may run on. Results do not depend on it.
  int threads = 0;
  /// Bytes that weights, caches, activations and captures may use together; 0: what the device has
  /// free.
  size_t memory_limit = 0;
  /// Told how far loading is, in bytes; null: nobody wants to know. Not kept.
  Progress* progress = nullptr;
};

struct ForwardOptions {
  LogitRows logits = LogitRows::kAll;
  /// kDevice: logits and captures stay where the model runs, and views of them cannot be read by
  /// the host (see Model::to_host). Copying all logits of a long prompt from a GPU takes longer
  /// than computing them.
  Residence residence = Residence::kHost;
};

/// A batch: the token ids of each sequence. Lengths may differ; nothing is padded.
using Batch = std::vector<std::vector<int32_t>>;

/// What unembed() finds in each row: never the whole [rows, V].
struct LogitStats {
  int64_t rows = 0;
  int top_k = 0;
  std::vector<int32_t> top_ids;   ///< [rows, top_k], best first; of equals the smaller id first
  std::vector<float> top_logits;  ///< [rows, top_k]
  std::vector<float>
      lse;  ///< [rows] log sum exp of the logits, so that log p = logit - lse, in nats
  std::vector<float> entropy;        ///< [rows] in nats
  std::vector<float> target_logits;  ///< [rows]
  std::vector<int32_t>
      target_ranks;  ///< [rows] 1 + the number of tokens with a strictly greater logit
  std::vector<float> watch_logits;   ///< [rows, watched ids]
  std::vector<int32_t> watch_ranks;  ///< [rows, watched ids]
};

struct UnembedOptions {
  bool final_layernorm = true;        ///< whether rows go through ln_final first
  int top_k = 0;                      ///< the best tokens to keep of each row
  std::vector<int32_t> targets = {};  ///< [rows] one id to look up in each row, or empty
  std::vector<int32_t> watch = {};    ///< ids to look up in every row
};

/// A GPT-2 model, ready to run. Copies share the weights; const calls may be made from several
/// threads at once.
class Model {
 public:
  /// `name_or_path`: a directory or file of a checkpoint, "demo", or a name in the local Hugging
  /// Face cache ("gpt2"). Never reaches the network. Throws Error (user) naming the file and what
  /// is wrong with it.
  static Model load(const std::string& name_or_path, const ModelOptions& options = {});
  /// The directory or file that load() would open: for whoever wants what lies beside the weights,
  /// such as the tokenizer. Throws Error (user) listing where it looked.
  static std::filesystem::path locate(const std::string& name_or_path);
  /// A model with random weights, the same for the same seed on every machine: for benchmarks and
  /// tests.
  static Model random(const Config& config, uint64_t seed, const ModelOptions& options = {});

  const Config& config() const;
  /// Throws Error (user) if the checkpoint came without a tokenizer.
  const Tokenizer& tokenizer() const;
  std::shared_ptr<const Tokenizer> shared_tokenizer() const;  ///< null if there is none
  DType dtype() const;
  size_t weight_bytes() const;
  std::string device_description() const;
  std::string name() const;
  /// Which kernel each shape of matrix product got so far, where there was a choice: "linear 1024 x
  /// 2304 x 768 bf16: ...".
  std::vector<std::string> kernel_choices() const;

  /// One pass over one sequence. Throws Error (user) for an empty sequence, one longer than the
  /// context, an id outside the vocabulary, hooks that do not fit, or a run that does not fit in
  /// memory (naming the bytes by site).
  Run forward(std::span<const int32_t> ids, const Hooks& hooks = {},
              const ForwardOptions& options = {}) const;
  /// One pass over a batch. A sequence's results are the same bits as if it were alone.
  Run forward(const Batch& batch, const Hooks& hooks = {},
              const ForwardOptions& options = {}) const;

  /// Sequences with a key/value cache of `capacity` positions each (at most the context; 0: the
  /// context).
  Session session(int sequences = 1, int64_t capacity = 0) const;

  /// A copy in host memory of a view of this model's results, wherever they lie.
  Tensor to_host(TensorView view) const;

  /// The token embeddings of `ids`, rows of wte: [ids, D] float32, in host memory. Throws Error
  /// (user) for an id outside the vocabulary.
  Tensor embed(std::span<const int32_t> ids) const;

  /// Unembeds rows [rows, D] of the residual stream, on the host or on the model's own GPU, and
  /// keeps only what is asked for. Throws Error (user) for a row width other than D, an id outside
  /// the vocabulary, or targets that are not one a row.
  LogitStats unembed(TensorView rows, const UnembedOptions& options) const;

 private:
  friend const internal::ModelState& internal::state_of(const Model& model);
  explicit Model(std::shared_ptr<const internal::ModelState> state) : state_(std::move(state)) {}
  std::shared_ptr<const internal::ModelState> state_;
};

/// Sequences that grow: each pass adds tokens behind those already there, and gives the same bits
/// as one pass over all.
class Session {
 public:
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  /// Runs the new tokens of each sequence (an empty list leaves a sequence as it is).
  /// Throws Error (user) as Model::forward does, and for a sequence that would outgrow its
  /// capacity.
  Run forward(const Batch& tokens, const Hooks& hooks = {}, const ForwardOptions& options = {});
  /// Runs rows of the residual stream through the blocks from `layer` on, as if the pass had
  /// reached that block with them: residuals[s] is [t, D] float32, blocks.<layer>.hook_resid_pre of
  /// the next t tokens of sequence s (t 0 leaves it as it is). Keys and values of the blocks before
  /// `layer` are not written, so from then on the session can only go on from there. Throws Error
  /// (user) as forward() does; for a layer that is not there, rows of another width or dtype, or
  /// hooks at sites before `layer`, which this pass does not reach.
  Run forward_from(int layer, const std::vector<TensorView>& residuals, const Hooks& hooks = {},
                   const ForwardOptions& options = {});
  /// A session of `copies` sequences, each with the keys and values of this one's `sequence`: for
  /// many continuations or interventions behind one prefix. Throws Error (user) for a sequence that
  /// is not there, or if it does not fit in memory.
  Session fork(int sequence, int copies) const;

  int64_t length(int sequence) const;
  /// Forgets all positions from `length` on. Throws Error (user) if the sequence is shorter.
  void truncate(int sequence, int64_t length);

 private:
  friend class Model;
  struct State;
  explicit Session(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace vitrine
