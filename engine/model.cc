// SPDX-License-Identifier: MIT
#include "vitrine/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>

#include "base/check.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/config.h"
#include "engine/checkpoint/model_path.h"
#include "engine/compiled_hooks.h"
#include "engine/device_name.h"
#include "engine/kept_generation.h"
#include "engine/model_state.h"
#include "engine/random_weights.h"
#include "engine/run_pass.h"
#include "kernels/backend/arithmetic.h"
#include "kernels/profile/profiling_backend.h"
#include "tokenizer/gguf_vocab.h"

namespace vitrine {
using namespace internal;
namespace {

void check_arithmetic(const ModelOptions& options, DType store) {
  if (arithmetic_from_name(options.arithmetic) == Arithmetic::kExact) return;
  if (gpu_index(options.device))
    user_error(
        "invalid `arithmetic` bf16 on {}: a GPU computes so with weights stored as bf16 (`dtype`); "
        "expected exact",
        options.device);
  if (store != DType::kBF16 && store != DType::kI8)
    user_error(
        "invalid `arithmetic` bf16 with weights stored as {}: expected bf16 or int8 (`dtype`)",
        dtype_name(store));
}

std::unique_ptr<Backend> make_plain_backend(const ModelOptions& options) {
  const Gemm gemm = gemm_from_name(options.gemm);  // a wrong word is refused on a CPU, too
  if (const std::optional<int> gpu = gpu_index(options.device))
    return make_cuda_backend({.device = *gpu, .gemm = gemm});
  return make_cpu_backend({.threads = options.threads}, arithmetic_from_name(options.arithmetic));
}

std::unique_ptr<Backend> make_backend(const ModelOptions& options) {
  std::unique_ptr<Backend> backend = make_plain_backend(options);
  return profiling() ? make_profiling_backend(std::move(backend)) : std::move(backend);
}

/// Reads a checkpoint's tensors in place and lets their pages go once packed.
class CheckpointSource : public WeightSource {
 public:
  CheckpointSource(const Checkpoint& checkpoint, DType store)
      : checkpoint_(checkpoint), store_(store) {}
  HostWeight matrix(const std::string& name) override {
    const HostWeight weight = checkpoint_.packable(name);
    if (store_ == DType::kI8 && !checkpoint_.non_finite_rows(name).empty())
      user_error(
          "{}: is NaN or infinite in row {}, which int8 cannot hold: load the weights as f32",
          checkpoint_.described(name), checkpoint_.non_finite_rows(name).front());
    return weight;
  }
  std::vector<float> vector(const std::string& name) override { return checkpoint_.vector(name); }
  void done_with(const std::string& name) override { checkpoint_.release(name); }

 private:
  const Checkpoint& checkpoint_;
  DType store_;
};

/// Makes one tensor at a time from the seed.
class RandomSource : public WeightSource {
 public:
  RandomSource(const Config& config, uint64_t seed) : weights_(config, seed) {}
  HostWeight matrix(const std::string& name) override {
    current_ = weights_.make(name, DType::kF32);
    const int64_t rows = current_.shape()[0], cols = current_.shape()[1];
    // Tables are [size, D] and seen from D.
    const bool is_table = weights_.find(name).kind == ParameterKind::kTable;
    return is_table ? HostWeight{current_.data(), DType::kF32, cols, rows, 1, cols}
                    : HostWeight{current_.data(), DType::kF32, rows, cols, cols, 1};
  }
  std::vector<float> vector(const std::string& name) override {
    return weights_.make(name, DType::kF32).view().to_f32();
  }
  void done_with(const std::string&) override { current_ = Tensor(); }

 private:
  RandomWeights weights_;
  Tensor current_;
};

std::shared_ptr<ModelState> make_state(const Config& config, std::string name, WeightSource& source,
                                       DType store, const ModelOptions& options) {
  if (!is_floating(store) && store != DType::kI8)
    user_error("weights cannot be stored as {}: expected f32, f16, bf16 or int8",
               dtype_name(store));
  check_arithmetic(options, store);
  auto state = std::make_shared<ModelState>();
  state->config = config;
  state->activation = activation_from_name(config.activation);
  state->name = std::move(name);
  state->gpu = gpu_index(options.device);
  state->backend = make_backend(options);
  state->arithmetic = options.arithmetic;
  state->memory_limit = options.memory_limit;
  state->between_layers = options.between_layers;
  state->weights =
      Weights::load(source, config, store, *state->backend, [&](size_t done, size_t total) {
        if (options.progress) options.progress->update(done, total, "Loading");
      });
  Backend& backend = *state->backend;
  state->kept = std::make_shared<KeptGeneration>();
  state->pool = std::make_unique<BufferPool>([&backend, &kept = *state->kept](size_t bytes) {
    try {
      return backend.allocate(bytes);
    } catch (const std::exception&) {
      kept.drop();  // to the pool, which gives up what it has and asks again
      throw;
    }
  });
  state->host_pool = std::make_unique<BufferPool>(
      [&backend](size_t bytes) { return backend.allocate_host(bytes); });
  state->require_memory(0, "");
  return state;
}

struct LoadedTokenizer {
  std::shared_ptr<const Tokenizer> tokenizer;
  std::string error;   ///< why there is none although there are files of one
  std::string source;  ///< its file, and why that one
};

/// `requested`: ModelOptions::tokenizer, whose errors are thrown at once.
LoadedTokenizer load_tokenizer(const std::filesystem::path& checkpoint,
                               const std::filesystem::path& requested) {
  namespace fs = std::filesystem;
  const fs::path place = !requested.empty()             ? requested
                         : fs::is_directory(checkpoint) ? checkpoint
                                                        : fs::absolute(checkpoint).parent_path();
  fs::path file = fs::is_directory(place) ? Tokenizer::find_file(place) : place;
  if (!requested.empty()) return {Tokenizer::load(place), {}, file.string() + ", as requested"};
  const bool inside = (file.empty() || file.extension() == ".gguf") &&
                      checkpoint.extension() == ".gguf" && gguf_has_tokenizer(checkpoint);
  if (inside) file = checkpoint;
  if (file.empty()) return {};
  const std::string source =
      file.filename().string() +
      (file.extension() == ".gguf" ? ", inside the weights' file" : ", beside the weights");
  try {
    return {Tokenizer::load(inside ? file : place), {}, source};
  } catch (const Error& error) {
    if (error.kind() != Error::Kind::kUser) throw;
    return {nullptr, error.what(), source};
  }
}

/// The first few, as a warning lists them.
std::string shown(std::vector<int32_t> rows) {
  constexpr size_t kShown = 5;
  const bool more = rows.size() > kShown;
  rows.resize(std::min(rows.size(), kShown));
  return fmt::format("{}{}", fmt::join(rows, ", "), more ? ", ..." : "");
}

/// Takes over a tokenizer or what is wrong with it, and settles where texts end.
void take_tokenizer(ModelState& state, LoadedTokenizer loaded, std::vector<int32_t> end_ids,
                    const std::string& bos) {
  std::vector<std::string>& notes = state.report.notes;
  state.report.tokenizer = std::move(loaded.source);
  state.frame = frame_from(bos, loaded.tokenizer.get());
  state.tokenizer = std::move(loaded.tokenizer);
  state.tokenizer_error = std::move(loaded.error);
  state.end_ids = std::move(end_ids);
  if (!state.tokenizer_error.empty())
    notes.push_back(state.tokenizer_error + "; the model works by token ids");
  if (!state.tokenizer) return;
  if (const int64_t tokens = state.tokenizer->vocab_size(); tokens > state.config.vocab) {
    notes.push_back(
        fmt::format("the tokenizer has {} tokens, the model {}: texts with a token from id {} on "
                    "are refused",
                    tokens, state.config.vocab, state.config.vocab));
  }
  const std::optional<int32_t> end = state.tokenizer->end_of_text();
  if (!end || *end >= state.config.vocab) return;
  if (state.end_ids.empty()) {
    state.end_ids = {*end};
  } else if (!std::ranges::count(state.end_ids, *end)) {
    notes.push_back(
        fmt::format("eos_token_id is {}, and the tokenizer ends texts with {}: generation ends at "
                    "eos_token_id",
                    fmt::join(state.end_ids, ", "), *end));
  }
}

/// Rows of the embeddings that are not finite, and a warning of them.
void take_bad_rows(ModelState& state, const Checkpoint& checkpoint) {
  const auto rows_of = [&](const char* name, const char* effect) {
    std::vector<int32_t> rows = checkpoint.non_finite_rows(name);
    if (rows.empty()) return rows;
    std::string& warning = state.report.warning;
    warning += fmt::format("{}{}: {} {} {} NaN or infinite: {}", warning.empty() ? "" : "; ",
                           checkpoint.described(name), rows.size() == 1 ? "row" : "rows",
                           shown(rows), rows.size() == 1 ? "is" : "are", effect);
    return rows;
  };
  const bool tied = state.config.tied_unembedding;
  state.bad_tokens = rows_of(
      kTokenEmbedding, tied ? "prompts with such a token are refused, and its logit is not finite"
                            : "prompts with such a token are refused");
  state.bad_positions = rows_of(kPositionEmbedding, "prompts as long as that are refused");
  if (!tied) rows_of(kUnembedding, "the logits of such tokens are not finite");
}

Batch one(std::span<const int32_t> ids) { return {std::vector<int32_t>(ids.begin(), ids.end())}; }

}  // namespace

namespace internal {

std::string megabytes(size_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

const ModelState& state_of(const Model& model) { return *model.state_; }

size_t ModelState::free_bytes() const {
  // What is free now counts without the weights, which are there already; a limit counts them in.
  // What the pool keeps free is there for the next run, and so is a generation's kept memory.
  const size_t room = backend->available_bytes() + (pool ? pool->free_bytes() + kept->bytes() : 0);
  return memory_limit == 0
             ? room
             : std::min(room, memory_limit - std::min(memory_limit, weights.memory.bytes()));
}

void ModelState::require_memory(size_t bytes, const std::string& parts) const {
  // Asking the system what is free takes longer than a small pass; skip the check below 16 MB:
  // querying free memory costs more than a small pass.
  constexpr size_t kSmall = 16 << 20;
  if (memory_limit == 0 && bytes < kSmall) return;
  const size_t room = free_bytes();
  if (bytes <= room && (memory_limit == 0 || weights.memory.bytes() <= memory_limit)) return;
  if (bytes == 0)
    user_error("out of memory: the weights need {} bytes, the memory limit is {}",
               weights.memory.bytes(), memory_limit);
  // A limit is the user's; what the machine has is not.
  const std::string line = fmt::format(
      "out of memory: this run needs {} and {} are free: {}; use shorter or fewer sequences, or "
      "captures of fewer sites, positions or heads, stored as f16",
      megabytes(bytes), megabytes(room), parts);
  throw Error(memory_limit > 0 ? Error::Kind::kUser : Error::Kind::kInternal, line);
}

}  // namespace internal

Model Model::load(const std::string& name_or_path, const ModelOptions& options) {
  const std::filesystem::path path = resolve_model(name_or_path);
  const Checkpoint checkpoint = Checkpoint::open(path, resolve_adapter(options.adapter));
  std::future<LoadedTokenizer> tokenizer =
      std::async(std::launch::async, load_tokenizer, path, options.tokenizer);
  const DType store = options.dtype.value_or(checkpoint.dominant_dtype());
  CheckpointSource source(checkpoint, store);
  const std::string name =
      name_or_path + (options.adapter.empty() ? "" : " with " + options.adapter.string());
  const auto state = make_state(checkpoint.config(), name, source, store, options);
  state->report = checkpoint.report();
  take_bad_rows(*state, checkpoint);
  take_tokenizer(*state, tokenizer.get(), checkpoint.end_ids(), options.bos);
  state->unembedding = [checkpoint](std::span<const int32_t> ids) {
    return checkpoint.rows(kUnembedding, ids);
  };
  return Model(state);
}

std::filesystem::path Model::locate(const std::string& name_or_path) {
  return resolve_model(name_or_path);
}

Model Model::random(const Config& config, uint64_t seed, const ModelOptions& options) {
  check_config(config, "the configuration");
  RandomSource source(config, seed);
  const auto state = make_state(config, fmt::format("random weights, seed {}", seed), source,
                                options.dtype.value_or(DType::kF32), options);
  LoadedTokenizer tokenizer;
  if (!options.tokenizer.empty()) tokenizer = load_tokenizer({}, options.tokenizer);
  take_tokenizer(*state, std::move(tokenizer), {}, options.bos);
  state->unembedding = [config, seed](std::span<const int32_t> ids) {
    const Tensor table =
        RandomWeights(config, seed)
            .make(config.tied_unembedding ? kTokenEmbedding : kUnembedding, DType::kF32);
    Tensor rows(DType::kF32, {static_cast<int64_t>(ids.size()), config.width});
    auto next = rows.f32().begin();
    for (const int32_t id : ids) next = std::ranges::copy(table.view().slice(id).f32(), next).out;
    return rows;
  };
  return Model(state);
}

const Config& Model::config() const { return state_->config; }
DType Model::dtype() const { return state_->weights.dtype; }
size_t Model::weight_bytes() const { return state_->weights.memory.bytes(); }
std::string Model::arithmetic() const { return state_->arithmetic; }
std::string Model::device_description() const { return state_->backend->description(); }
std::vector<std::string> Model::kernel_choices() const {
  const auto lock = state_->backend->exclusive();
  return state_->backend->choices();
}
std::string Model::name() const { return state_->name; }
const LoadReport& Model::load_report() const { return state_->report; }
std::shared_ptr<const Tokenizer> Model::shared_tokenizer() const { return state_->tokenizer; }

const std::vector<int32_t>& Model::end_ids() const { return state_->end_ids; }

const Tokenizer& Model::tokenizer() const {
  if (!state_->tokenizer_error.empty()) user_error("{}", state_->tokenizer_error);
  if (!state_->tokenizer)
    user_error("missing tokenizer of model '{}': use token ids, or add its tokenizer.json",
               state_->name);
  return *state_->tokenizer;
}

const Tokenizer::Frame& Model::frame() const { return state_->frame; }

std::vector<int32_t> Model::encode(std::string_view text, Tokenizer::Special special) const {
  std::vector<int32_t> ids = tokenizer().encode(text, special);
  ids.insert(ids.begin(), frame().before.begin(), frame().before.end());
  ids.insert(ids.end(), frame().after.begin(), frame().after.end());
  return ids;
}

std::vector<Tokenizer::Piece> Model::encode_with_spans(std::string_view text,
                                                       Tokenizer::Special special) const {
  std::vector<Tokenizer::Piece> pieces;
  for (const int32_t id : frame().before) pieces.push_back({id, 0, 0});
  const auto inner = tokenizer().encode_with_spans(text, special);
  pieces.insert(pieces.end(), inner.begin(), inner.end());
  for (const int32_t id : frame().after) pieces.push_back({id, text.size(), text.size()});
  return pieces;
}

Tensor Model::to_host(TensorView view) const {
  Tensor tensor(view.dtype(), view.shape());
  if (view.residence() == Residence::kHost) {
    const std::span<const std::byte> bytes = view.host_bytes();
    std::copy(bytes.begin(), bytes.end(), static_cast<std::byte*>(tensor.data()));
  } else {
    const auto lock = state_->backend->exclusive();
    state_->backend->download(tensor.data(), view.data(), view.bytes());
  }
  return tensor;
}

std::shared_ptr<const Captures> Model::to_host(std::shared_ptr<const Captures> captures) const {
  if (captures->device() == nullptr) return captures;
  std::vector<Captures::Entry> entries = captures->entries();
  std::vector<std::shared_ptr<const void>> storage;
  const auto bring = [&](const TensorView& view) {
    storage.push_back(std::make_shared<const Tensor>(to_host(view)));
    return static_cast<const Tensor*>(storage.back().get())->view();
  };
  for (Captures::Entry& entry : entries) {
    if (site_info(entry.site).shape == SiteShape::kMap) {
      for (Captures::Entry::Sequence& sequence : entry.sequences)
        sequence.values = bring(sequence.values);
      continue;
    }
    const TensorView rows = bring(entry.rows());
    const auto* at = static_cast<const std::byte*>(rows.data());
    for (Captures::Entry::Sequence& sequence : entry.sequences) {
      sequence.values = TensorView(at, entry.dtype, sequence.values.shape());
      at += sequence.values.bytes();
    }
  }
  return std::make_shared<const Captures>(std::move(entries), std::move(storage));
}

Run Model::forward(std::span<const int32_t> ids, const Hooks& hooks,
                   const ForwardOptions& options) const {
  return forward(one(ids), compile(hooks), options);
}

Run Model::forward(const Batch& batch, const Hooks& hooks, const ForwardOptions& options) const {
  return forward(batch, compile(hooks), options);
}

Run Model::forward(std::span<const int32_t> ids, const HookPlan& plan,
                   const ForwardOptions& options) const {
  return forward(one(ids), plan, options);
}

Run Model::forward(const Batch& batch, const HookPlan& plan, const ForwardOptions& options) const {
  const Plan& hooks = forward_plan(plan, *state_);
  KvCache cache = transient_cache(*state_, batch);
  CaptureCollector collector;
  const PassLogits logits = run_pass(*state_, hooks, cache, batch, options, collector);
  return make_run(*state_, cache, batch, logits, options, collector);
}

}  // namespace vitrine
