// SPDX-License-Identifier: MIT
#include "engine/checkpoint/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/dangling_link.h"
#include "base/quote.h"
#include "engine/checkpoint/adapter.h"
#include "engine/checkpoint/config.h"
#include "engine/checkpoint/files.h"
#include "engine/checkpoint/find.h"
#include "engine/checkpoint/gguf.h"
#include "engine/checkpoint/gpt_neo.h"
#include "engine/checkpoint/named_tensor.h"
#include "engine/checkpoint/nanogpt.h"
#include "engine/checkpoint/prefix.h"
#include "engine/checkpoint/tensorflow.h"
#include "engine/parameters.h"

namespace vitrine::internal {
namespace {

namespace fs = std::filesystem;

// --- the tensors by their names

// "h.12.attn.bias" gives layer 12 and "attn.bias".
std::optional<std::pair<int64_t, std::string_view>> split_layer(std::string_view name) {
  if (!name.starts_with("h.")) return std::nullopt;
  const size_t dot = name.find('.', 2);
  if (dot == std::string_view::npos || dot == 2 || dot > 8) return std::nullopt;
  int64_t layer = 0;
  for (const char c : name.substr(2, dot - 2)) {
    if (c < '0' || c > '9') return std::nullopt;
    layer = 10 * layer + (c - '0');
  }
  return std::pair(layer, name.substr(dot + 1));
}

// The causal mask [1, 1, n, n], its fill value and the positions 0, 1, ..., which transformers kept
// as buffers. A bias of attention, [n], is none of them.
bool is_buffer(std::string_view name, const StoredTensor& tensor) {
  if (name == "position_ids") return true;
  const auto parts = split_layer(name);
  if (!parts) return false;
  std::string_view rest = parts->second;
  for (const std::string_view prefix : {"attn.", "attention."})  // both in GPT-Neo
    if (rest.starts_with(prefix)) rest.remove_prefix(prefix.size());
  return (rest == "bias" && tensor.shape.rank() >= 2) ||
         (rest == "masked_bias" && tensor.shape.elements() == 1);
}

struct CanonicalTensors {
  NamedTensors tensors;
  /// Of types that no weight has: the file's name, and the type.
  std::map<std::string, std::pair<std::string, std::string>, std::less<>> others;
};

CanonicalTensors by_canonical_name(CheckpointFiles&& files, const std::string& path) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : files.tensors) names.push_back(name);
  for (const auto& [name, type] : files.other_types) names.push_back(name);
  const Prefix prefix(names, path);
  CanonicalTensors found;
  for (auto& [name, tensor] : files.tensors) {
    const std::string plain = prefix.canonical(name);
    if (is_buffer(plain, tensor)) continue;
    NamedTensor named{name, std::move(tensor)};
    if (const auto made = files.made.find(name); made != files.made.end())
      named.make = std::move(made->second);
    const auto it = found.tensors.find(plain);
    if (it != found.tensors.end())
      user_error("{}: duplicate tensor, also present as {}", where(named),
                 quote(it->second.name_in_file));
    found.tensors.emplace(plain, std::move(named));
  }
  for (const auto& [name, type] : files.other_types)
    found.others.emplace(prefix.canonical(name), std::pair(name, type));
  return found;
}

/// Whether linear layers are [out, in], as torch.nn.Linear has them: attn.c_attn, the one that is
/// square in no model, tells.
bool are_transposed(const NamedTensors& tensors, const Config& config) {
  const auto found = tensors.find("h.0.attn.c_attn.weight");
  return found != tensors.end() &&
         found->second.tensor.shape == Shape{3 * config.width, config.width};
}

void check_parameter(const NamedTensor& named, const Parameter& wanted,
                     const std::string& config_file) {
  const StoredTensor& tensor = named.tensor;
  if (!is_floating(tensor.dtype) && tensor.dtype != DType::kF64)
    user_error("{}: is {}: expected f32, f16, bf16 or f64", where(named), dtype_name(tensor.dtype));
  if (tensor.shape == wanted.shape) return;
  const bool transposed = wanted.shape.rank() == 2 && wanted.kind == ParameterKind::kMatrix &&
                          tensor.shape == Shape{wanted.shape[1], wanted.shape[0]};
  user_error("{}: has shape {}: {} requires {}{}", where(named), tensor.shape.to_string(),
             config_file, wanted.shape.to_string(),
             transposed ? " (it is transposed: GPT-2's matrices are [in, out])" : "");
}

/// "2 tensors that GPT-2 does not have ('score.weight', 'score.bias')"; nothing for none.
void name_some(std::vector<std::string>& parts, const std::vector<std::string>& names,
               std::string_view what, std::string_view plural) {
  constexpr size_t kShown = 3;
  if (names.empty()) return;
  std::string list;
  for (size_t i = 0; i < std::min(kShown, names.size()); ++i)
    list += (i == 0 ? "" : ", ") + quote(names[i]);
  parts.push_back(fmt::format("{} {} ({}{})", names.size(), names.size() == 1 ? what : plural, list,
                              names.size() > kShown ? ", ..." : ""));
}

}  // namespace

struct Checkpoint::Impl {
  fs::path path;
  std::string config_file;
  Config config;
  LoadReport report;
  std::vector<int32_t> end_ids;
  NamedTensors tensors;
  std::map<std::string, Shape, std::less<>> zeros;  ///< biases that the checkpoint leaves out
  fs::path adapter;                                 ///< empty: none
  bool gpt_neo = false;                             ///< see ParsedConfig
  bool from_arguments = false;  ///< the configuration is a training program's own
  std::string head_note;        ///< the unembedding that is used although the configuration ties it
  DType dominant = DType::kF32;
  // Of matrices that are not in place, from weight() to release().
  mutable std::mutex mutex;
  mutable std::map<const NamedTensor*, std::vector<float>> made;
  mutable std::map<std::string, std::vector<int32_t>, std::less<>> bad_rows;  // by parameter

  void load();
  CheckpointFiles read_with_config(const fs::path& file);
  void take_end_ids(std::vector<int64_t> ids, const fs::path& folder);
  void keep_parameters(CheckpointFiles&& files);
  void settle_unembedding();
  void settle_unsaid();
  void count_dtypes();
  void compose_warning(const fs::path& folder);
  const NamedTensor& find(std::string_view name) const;
  const void* scanned(std::string_view name, const NamedTensor& named) const;
  const std::vector<float>& made_values(const NamedTensor& named) const;
  Tensor made_rows(const NamedTensor& named, std::span<const int32_t> ids) const;
};

void Checkpoint::Impl::load() {
  const fs::path file = find_checkpoint(path);
  const bool index = file.string().ends_with(".index.json");
  const Format format = index ? Format::kSafetensors : checkpoint_format(file);
  if (format == Format::kLlmc) {
    LlmcCheckpoint llmc = read_llmc_file(file);
    config_file = file.string() + "'s header";
    config = llmc.config;
    keep_parameters(std::move(llmc.files));
  } else if (format == Format::kGguf) {
    GgufCheckpoint gguf = read_gguf_file(file);
    config_file = file.string() + "'s header";
    config = gguf.config;
    keep_parameters(std::move(gguf.files));
    take_end_ids(gguf.end_ids, file.parent_path());
  } else if (format == Format::kTensorflow) {
    TensorflowCheckpoint read = read_tensorflow_checkpoint(file);
    config_file = read.config_file;
    config = read.config;
    keep_parameters(std::move(read.files));
  } else {
    keep_parameters(read_with_config(file));
  }
  settle_unembedding();
  if (from_arguments) settle_unsaid();
  if (!adapter.empty()) report.notes.push_back(merge_adapter(adapter, tensors, config));
  count_dtypes();
  compose_warning(file.parent_path());
}

void Checkpoint::Impl::take_end_ids(std::vector<int64_t> ids, const fs::path& folder) {
  const fs::path generation = folder / "generation_config.json";
  std::error_code ignored;
  if (fs::exists(generation, ignored)) {
    if (std::vector<int64_t> own = read_end_ids(generation); !own.empty()) ids = std::move(own);
  }
  for (const int64_t id : ids) {
    if (id < config.vocab)
      end_ids.push_back(static_cast<int32_t>(id));
    else
      report.notes.push_back(fmt::format(
          "eos_token_id is {}, which a model of {} tokens never gives: it ends no generation", id,
          config.vocab));
  }
}

CheckpointFiles Checkpoint::Impl::read_with_config(const fs::path& file) {
  const fs::path config_path = file.parent_path() / "config.json";
  std::error_code ignored;
  const bool has_config = fs::exists(config_path, ignored);
  if (has_config) {
    ParsedConfig parsed = read_config(config_path);
    config_file = config_path.string();
    config = parsed.config;
    gpt_neo = parsed.gpt_neo;
    report.notes = std::move(parsed.notes);
    report.unread_fields = std::move(parsed.unknown);
    take_end_ids(parsed.end_ids, file.parent_path());
  }
  refuse_dangling_link(config_path);
  const bool index = file.string().ends_with(".index.json");
  CheckpointFiles files;
  if (has_config || (!index && checkpoint_format(file) == Format::kTorch))
    files = index ? read_shards(file) : read_checkpoint_file(file);
  if (has_config) return files;
  if (!files.model_arguments)
    user_error("{}: no such file: expected it next to {}", config_path.string(), file.string());
  config_file = file.string() + "'s model_args";
  config = nanogpt_config(*files.model_arguments, config_file);
  from_arguments = true;
  return files;
}

void Checkpoint::Impl::compose_warning(const fs::path& folder) {
  std::vector<std::string> parts;
  name_some(parts, report.unread_tensors, "tensor that GPT-2 does not have",
            "tensors that GPT-2 does not have");
  name_some(parts, report.unread_fields, "unknown field of config.json",
            "unknown fields of config.json");
  std::error_code ignored;
  for (const char* name : {"adapter_model.safetensors", "adapter_model.bin"}) {
    if (fs::exists(folder / name, ignored) && !fs::equivalent(folder, adapter, ignored))
      parts.push_back(fmt::format("the adapter {}", (folder / name).string()));
  }
  std::vector<std::string> lines;
  if (!head_note.empty()) {
    lines.push_back(
        fmt::format("{}: differs from wte.weight, although {} does not say tie_word_embeddings = "
                    "false: it is the unembedding, as in transformers 5; 4 would take wte.weight",
                    head_note, config_file));
  }
  if (!parts.empty())
    lines.push_back(fmt::format("{}: not read: {}", path.string(), fmt::join(parts, "; ")));
  report.warning = fmt::format("{}", fmt::join(lines, "; "));
}

void Checkpoint::Impl::keep_parameters(CheckpointFiles&& files) {
  std::vector<std::string>& unused = report.unread_tensors;
  unused = std::move(files.other);
  const std::optional<ModelArguments> arguments = std::move(files.model_arguments);
  const bool without_biases = arguments && nanogpt_without_biases(*arguments);
  CanonicalTensors found = by_canonical_name(std::move(files), path.string());
  if (gpt_neo) rename_neo(found.tensors, config, path.string());
  if (are_transposed(found.tensors, config)) {
    for (auto& [name, named] : found.tensors) transpose_linear(name, named.tensor);
    if (!arguments)
      report.notes.push_back(path.string() +
                             ": matrices are [out, in], as torch.nn.Linear has them: transposed");
  }
  CopyBudget budget;
  const auto take = [&](const Parameter& wanted) {
    auto node = found.tensors.extract(wanted.name);
    if (node.empty()) return false;
    check_parameter(node.mapped(), wanted, config_file);
    budget.take(node.mapped().tensor, where(node.mapped()));
    node.mapped().is_table = wanted.kind == ParameterKind::kTable;
    tensors.insert(std::move(node));
    return true;
  };
  Config untied = config;  // an unembedding may be there in any case; settle_unembedding() decides
  untied.tied_unembedding = false;
  untied.unembedding_bias = true;
  for_each_parameter(untied, [&](const Parameter& wanted) {
    if (take(wanted)) return;
    if (const auto other = found.others.find(wanted.name); other != found.others.end())
      user_error("{}: tensor {}: is {}: expected f32, f16, bf16 or f64", path.string(),
                 quote(other->second.first), quote(other->second.second));
    if (wanted.name == kUnembedding || wanted.name == kUnembeddingBias) return;
    const bool none_in_neo = gpt_neo && wanted.name.ends_with("attn.c_attn.bias");
    if (!none_in_neo && (!without_biases || !std::string_view(wanted.name).ends_with(".bias")))
      user_error("{}: missing tensor '{}' (or 'transformer.{}'), which {} requires", path.string(),
                 wanted.name, wanted.name, config_file);
    zeros.emplace(wanted.name, wanted.shape);
  });
  config.unembedding_bias = tensors.contains(kUnembeddingBias);
  for (const auto& [name, other] : found.others) unused.push_back(other.first);
  for (const auto& [name, named] : found.tensors) {
    const auto parts = split_layer(name);
    if (parts && parts->first >= config.layers &&
        tensors.contains(fmt::format("h.0.{}", parts->second))) {
      user_error("{}: belongs to layer {}, but {} has n_layer = {}", where(named), parts->first,
                 config_file, config.layers);
    }
    unused.push_back(named.name_in_file);
  }
  std::sort(unused.begin(), unused.end());
}

void Checkpoint::Impl::settle_unembedding() {
  const auto head = tensors.find(kUnembedding);
  if (head == tensors.end()) {
    if (!config.tied_unembedding) {
      user_error("{}: missing tensor '{}', which tie_word_embeddings = false in {} requires",
                 path.string(), kUnembedding, config_file);
    }
    return;
  }
  const NamedTensor &own = head->second, &embedding = tensors.at(kTokenEmbedding);
  // A head of its own in another type than the embedding's is the embedding only if that is said.
  const bool tied = (config.tied_unembedding || own.tensor.dtype == embedding.tensor.dtype) &&
                    same_matrix(own, embedding);
  if (!tied && config.tied_unembedding) head_note = where(head->second);
  config.tied_unembedding = tied;
  if (!tied) return;
  if (!own.make) own.tensor.file->release(own.tensor.offset, own.tensor.span_bytes);
  tensors.erase(head);
}

/// nanoGPT and minGPT write neither of these into their files.
void Checkpoint::Impl::settle_unsaid() {
  // nanoGPT ties its head. Before it did, as in minGPT, the activation was gelu_new.
  if (!config.tied_unembedding) config.activation = "gelu_new";
  report.notes.push_back(
      config_file + ": says no activation function: taken for " +
      (config.tied_unembedding
           ? "gelu, nanoGPT's nn.GELU(); its first versions had gelu_new, which a config.json "
             "beside the file can name"
           : "gelu_new, as in minGPT and the first versions of nanoGPT, where lm_head.weight is "
             "not wte.weight; a config.json beside the file can name another"));
  head_note.clear();
}

void Checkpoint::Impl::count_dtypes() {
  std::map<DType, size_t> bytes;
  size_t wide = 0;
  for (const auto& [name, named] : tensors) {
    const bool is_wide = named.tensor.dtype == DType::kF64;
    bytes[is_wide ? DType::kF32 : named.tensor.dtype] += named.tensor.span_bytes;
    wide += is_wide ? 1 : 0;
  }
  if (wide > 0)
    report.notes.push_back(
        fmt::format("{}: {} tensors are f64, narrowed to f32", path.string(), wide));
  dominant = std::max_element(bytes.begin(), bytes.end(), [](const auto& a, const auto& b) {
               return a.second < b.second;
             })->first;
}

const NamedTensor& Checkpoint::Impl::find(std::string_view name) const {
  auto it = tensors.find(name);
  if (it == tensors.end() && name == kUnembedding && config.tied_unembedding)
    it = tensors.find(kTokenEmbedding);
  if (it == tensors.end())
    internal_error("{}: unknown GPT-2 parameter {}", path.string(), quote(name));
  return it->second;
}

const void* Checkpoint::Impl::scanned(std::string_view name, const NamedTensor& named) const {
  const StoredTensor& tensor = named.tensor;
  const std::byte* data =
      tensor.file->aligned(tensor.offset, tensor.span_bytes, dtype_size(tensor.dtype));
  const auto bad = first_non_finite(tensor, data);
  if (bad && !named.is_table)
    user_error("{}: element {} is NaN or infinite: expected finite weights", where(named), *bad);
  if (bad) {
    const std::lock_guard lock(mutex);
    bad_rows.emplace(name, internal::non_finite_rows(tensor, data));
  }
  return data;
}

const std::vector<float>& Checkpoint::Impl::made_values(const NamedTensor& named) const {
  const std::lock_guard lock(mutex);
  std::vector<float>& values = made[&named];
  if (values.empty()) values = values_of(named);
  return values;
}

Tensor Checkpoint::Impl::made_rows(const NamedTensor& named, std::span<const int32_t> ids) const {
  const std::vector<float>& values = made_values(named);
  const int64_t rows = named.tensor.shape[0], width = named.tensor.shape[1];
  Tensor result(DType::kF32, {static_cast<int64_t>(ids.size()), width});
  auto next = result.f32().begin();
  for (const int32_t id : ids) {
    if (id < 0 || id >= rows) internal_error("{}: has no row {}", where(named), id);
    next = std::copy_n(values.begin() + id * width, width, next);
  }
  return result;
}

Checkpoint::Checkpoint(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

Checkpoint Checkpoint::open(const fs::path& path, const fs::path& adapter) {
  auto impl = std::make_shared<Impl>();
  impl->path = path;
  impl->adapter = adapter;
  impl->load();
  return Checkpoint(std::move(impl));
}

const Config& Checkpoint::config() const { return impl_->config; }
const fs::path& Checkpoint::path() const { return impl_->path; }
DType Checkpoint::dominant_dtype() const { return impl_->dominant; }
bool Checkpoint::has(std::string_view name) const {
  return impl_->tensors.contains(name) || impl_->zeros.contains(name);
}
DType Checkpoint::dtype(std::string_view name) const {
  if (impl_->zeros.contains(name)) return impl_->dominant;
  const DType dtype = impl_->find(name).tensor.dtype;
  return dtype == DType::kF64 ? DType::kF32 : dtype;
}
const LoadReport& Checkpoint::report() const { return impl_->report; }
const std::vector<int32_t>& Checkpoint::end_ids() const { return impl_->end_ids; }

HostWeight Checkpoint::weight(std::string_view name) const {
  const NamedTensor& named = impl_->find(name);
  const StoredTensor& tensor = named.tensor;
  if (tensor.shape.rank() != 2) internal_error("{}: expected a matrix", where(named));
  const size_t in = named.is_table ? 1 : 0;  // the axis of the inputs
  const size_t out = 1 - in;
  if (!named.in_place()) {
    const std::vector<float>& values = impl_->made_values(named);
    const int64_t strides[2] = {tensor.shape[1], 1};
    return {values.data(),
            DType::kF32,
            tensor.shape[static_cast<int>(in)],
            tensor.shape[static_cast<int>(out)],
            strides[in],
            strides[out]};
  }
  return {
      impl_->scanned(name, named),         tensor.dtype,       tensor.shape[static_cast<int>(in)],
      tensor.shape[static_cast<int>(out)], tensor.strides[in], tensor.strides[out]};
}

HostWeight Checkpoint::packable(std::string_view name) const {
  const NamedTensor& named = impl_->find(name);
  const StoredTensor& tensor = named.tensor;
  const std::byte* data = tensor.file->data() + tensor.offset;
  if (!named.in_place() || tensor.shape.rank() != 2 || first_non_finite(tensor, data))
    return weight(name);  // which says what is wrong
  const size_t in = named.is_table ? 1 : 0, out = 1 - in;
  return {data,
          tensor.dtype,
          tensor.shape[static_cast<int>(in)],
          tensor.shape[static_cast<int>(out)],
          tensor.strides[in],
          tensor.strides[out]};
}

std::vector<float> Checkpoint::vector(std::string_view name) const {
  if (const auto zero = impl_->zeros.find(name); zero != impl_->zeros.end())
    return std::vector<float>(static_cast<size_t>(zero->second.elements()));
  const NamedTensor& named = impl_->find(name);
  const StoredTensor& tensor = named.tensor;
  if (tensor.shape.rank() != 1) internal_error("{}: expected a vector", where(named));
  if (named.in_place()) impl_->scanned(name, named);
  return values_of(named);
}

std::vector<int32_t> Checkpoint::non_finite_rows(std::string_view name) const {
  const std::lock_guard lock(impl_->mutex);
  const auto found = impl_->bad_rows.find(name);
  return found == impl_->bad_rows.end() ? std::vector<int32_t>() : found->second;
}

std::string Checkpoint::described(std::string_view name) const { return where(impl_->find(name)); }

Tensor Checkpoint::rows(std::string_view name, std::span<const int32_t> ids) const {
  const NamedTensor& named = impl_->find(name);
  const StoredTensor& tensor = named.tensor;
  if (tensor.shape.rank() != 2) internal_error("{}: expected a matrix", where(named));
  if (named.make) return impl_->made_rows(named, ids);
  const std::byte* data =
      tensor.file->aligned(tensor.offset, tensor.span_bytes, dtype_size(tensor.dtype));
  Tensor result(DType::kF32, {static_cast<int64_t>(ids.size()), tensor.shape[1]});
  auto next = result.f32().begin();
  for (const int32_t id : ids) {
    if (id < 0 || id >= tensor.shape[0]) internal_error("{}: has no row {}", where(named), id);
    for (int64_t i = 0; i < tensor.shape[1]; ++i) {
      *next++ = element(data, tensor.dtype,
                        static_cast<size_t>(id * tensor.strides[0] + i * tensor.strides[1]));
    }
  }
  return result;
}

void Checkpoint::release(std::string_view name) const {
  if (impl_->zeros.contains(name)) return;
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->made.erase(&impl_->find(name));
  }
  if (impl_->find(name).make) return;
  const StoredTensor& tensor = impl_->find(name).tensor;
  tensor.file->release(tensor.offset, tensor.span_bytes);
}

}  // namespace vitrine::internal
