// SPDX-License-Identifier: MIT
#include "engine/checkpoint/adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "base/quote.h"
#include "engine/checkpoint/adapter_config.h"
#include "engine/parameters.h"

namespace vitrine::internal {
namespace {

namespace fs = std::filesystem;

fs::path tensors_file(const fs::path& folder) {
  std::error_code ignored;
  for (const char* name : {"adapter_model.safetensors", "adapter_model.bin"}) {
    if (fs::exists(folder / name, ignored)) return folder / name;
  }
  user_error("{}: missing adapter_model.safetensors (or adapter_model.bin) beside {}",
             folder.string(), kAdapterConfig);
}

bool take_end(std::string_view& name, std::string_view end) {
  if (!name.ends_with(end)) return false;
  name.remove_suffix(end.size());
  return true;
}

/// The two factors of a module's change, and the change of its bias.
struct Factors {
  const NamedTensor* a = nullptr;
  const NamedTensor* b = nullptr;
  const NamedTensor* bias = nullptr;
  bool embedding = false;  ///< lora_embedding_A [r, rows] and _B [width, r]
};

/// The matrix W of a parameter as [in, out]: of GPT-2's Conv1D as it is; lm_head is [V, D].
struct Merge {
  NamedTensor base, a, b;
  float scale = 1;
  bool transposed = false;  ///< W is [out, in]
};

std::vector<float> merged_values(const Merge& merge) {
  std::vector<float> values = values_of(merge.base);
  const std::vector<float> a = values_of(merge.a), b = values_of(merge.b);
  const auto rank = static_cast<size_t>(merge.a.tensor.shape[0]),
             in = static_cast<size_t>(merge.a.tensor.shape[1]),
             out = static_cast<size_t>(merge.b.tensor.shape[0]);
  // W [rows, cols] += scale left^T right, left [r, rows], right [r, cols].
  const size_t rows = merge.transposed ? out : in, cols = merge.transposed ? in : out;
  std::vector<float> b_turned(b.size());
  for (size_t o = 0; o < out; ++o)
    for (size_t k = 0; k < rank; ++k) b_turned[k * out + o] = b[o * rank + k];
  const std::vector<float>&left = merge.transposed ? b_turned : a,
        &right = merge.transposed ? a : b_turned;
  std::vector<float> change(cols);
  for (size_t row = 0; row < rows; ++row) {
    std::fill(change.begin(), change.end(), 0.0f);
    for (size_t k = 0; k < rank; ++k) {
      const float factor = left[k * rows + row];
      for (size_t col = 0; col < cols; ++col) change[col] += factor * right[k * cols + col];
    }
    for (size_t col = 0; col < cols; ++col) values[row * cols + col] += merge.scale * change[col];
  }
  return values;
}

class Merger {
 public:
  Merger(const fs::path& folder, NamedTensors& tensors, Config& config)
      : file_(tensors_file(folder)),
        config_(read_adapter_config(folder / kAdapterConfig)),
        tensors_(tensors),
        model_(config) {}

  std::string run(const fs::path& folder) {
    CheckpointFiles files = read_checkpoint_file(file_);
    if (!files.other_types.empty())
      user_error("{}: tensor {}: is {}: expected f32, f16, bf16 or f64", file_.string(),
                 quote(files.other_types.begin()->first), quote(files.other_types.begin()->second));
    if (!files.other.empty())
      user_error("{}: {} is not a tensor: expected those of an adapter alone", file_.string(),
                 quote(files.other.front()));
    for (auto& [name, tensor] : files.tensors) sort_in(name, std::move(tensor));
    if (factors_.empty() && whole_.empty())
      user_error("{}: holds no tensor of an adapter", file_.string());
    for (const auto& [module, named] : whole_) replace(module, named);
    for (const auto& [module, factors] : factors_) merge(module, factors);
    return fmt::format("{}: merged into {} parameters{}", folder.string(),
                       factors_.size() + whole_.size(),
                       config_.base.empty() ? "" : "; an adapter of " + quote(config_.base));
  }

 private:
  [[noreturn]] void refuse(const NamedTensor& named, std::string_view why) const {
    user_error("{}: {}", where(named), why);
  }

  /// "base_model.model.transformer.h.0.attn.c_attn.lora_A.weight" is factor A of
  /// "h.0.attn.c_attn".
  void sort_in(const std::string& name, StoredTensor tensor) {
    const auto kept = std::make_shared<NamedTensor>(NamedTensor{name, std::move(tensor)});
    kept_.push_back(kept);
    const NamedTensor& named = *kept;
    if (!is_floating(named.tensor.dtype) && named.tensor.dtype != DType::kF64)
      refuse(named, "expected f32, f16, bf16 or f64");
    if (const int rank = named.tensor.shape.rank(); rank != 1 && rank != 2)
      refuse(named, "expected a vector or a matrix");
    budget_.take(named.tensor, where(named));
    std::string_view rest = name;
    for (const std::string_view prefix : {"base_model.model.", "transformer."})
      if (rest.starts_with(prefix)) rest.remove_prefix(prefix.size());
    const auto factors = [&]() -> Factors& { return factors_[std::string(rest)]; };
    if (take_end(rest, ".lora_A.weight")) {
      factors().a = &named;
    } else if (take_end(rest, ".lora_B.weight")) {
      factors().b = &named;
    } else if (take_end(rest, ".lora_B.bias")) {
      factors().bias = &named;
    } else if (take_end(rest, ".lora_embedding_A")) {
      factors().a = &named;
      factors().embedding = true;
    } else if (take_end(rest, ".lora_embedding_B")) {
      factors().b = &named;
    } else {
      std::string plain(rest);
      constexpr std::string_view kBase = ".base_layer.";  // of a module that has factors, too
      if (const size_t at = plain.find(kBase); at != std::string::npos)
        plain.replace(at, kBase.size(), ".");
      whole_.emplace(plain, &named);
    }
  }

  NamedTensor& parameter(const std::string& name, const NamedTensor& of) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end())
      refuse(of, fmt::format("the model has no parameter '{}': expected an adapter of this model",
                             name));
    return found->second;
  }

  /// One of the two tables changes alone.
  void untie(const NamedTensor& of) {
    if (!model_.tied_unembedding) return;
    if (config_.ties) refuse(of, "ensure_weight_tying is not supported with tied embeddings");
    model_.tied_unembedding = false;
    tensors_.emplace(kUnembedding, tensors_.at(kTokenEmbedding));
  }

  void untie_for(const std::string& name, const NamedTensor& of) {
    if (name == kTokenEmbedding || name == kUnembedding) untie(of);
  }

  void check_shape(const NamedTensor& named, const Shape& wanted) const {
    if (named.tensor.shape != wanted)
      refuse(named, fmt::format("has shape {}: the model requires {}",
                                named.tensor.shape.to_string(), wanted.to_string()));
  }

  /// A parameter that the adapter holds whole: of modules_to_save, a bias, or the embeddings, which
  /// PEFT saves where they were resized.
  void replace(const std::string& name, const NamedTensor* named) {
    const std::string module = name.substr(0, name.rfind('.'));
    const bool alone = config_.saves(module);
    if (!alone && name == kUnembedding && model_.tied_unembedding) return check_tied(*named);
    if (alone) untie_for(name, *named);
    NamedTensor& target = parameter(name, *named);
    check_shape(*named, target.tensor.shape);
    const bool is_table = target.is_table;
    target = *named;
    target.is_table = is_table;
  }

  void check_tied(const NamedTensor& head) const {
    const auto saved = whole_.find(kTokenEmbedding);
    const NamedTensor& embedding =
        saved != whole_.end() ? *saved->second : tensors_.at(kTokenEmbedding);
    if (!same_matrix(head, embedding))
      refuse(head, "differs from wte.weight, to which the model ties it");
  }

  void merge(const std::string& module, const Factors& factors) {
    if (factors.a == nullptr || factors.b == nullptr)
      user_error("{}: missing a factor (lora_A or lora_B) of {}", file_.string(), quote(module));
    const NamedTensor &a = *factors.a, &b = *factors.b;
    const std::string name = module + ".weight";
    untie_for(name, a);
    NamedTensor& target = parameter(name, a);
    const Shape shape = target.tensor.shape;
    const bool table = shape.rank() == 2 && target.is_table;
    if (shape.rank() != 2 || (factors.embedding && !table))
      refuse(a, "is of no matrix: expected a linear layer or an embedding");
    // An embedding's factors see [rows, width] as "in" rows and "out" width, as GPT-2's matrices.
    const bool transposed = table && !factors.embedding;
    const int64_t rank = a.tensor.shape[0], in = shape[transposed ? 1 : 0],
                  out = shape[transposed ? 0 : 1];
    if (rank < 1 || b.tensor.shape.rank() != 2) refuse(b, "expected a matrix");
    check_shape(a, {rank, in});
    check_shape(b, {out, rank});
    const auto scale = static_cast<float>(config_.scale("transformer." + module, rank));
    Merge merge{target, a, b, scale, transposed};
    target.make = [merge] { return merged_values(merge); };
    if (factors.bias != nullptr) merge_bias(module, *factors.bias, scale);
  }

  void merge_bias(const std::string& module, const NamedTensor& change, float scale) {
    NamedTensor& target = parameter(module + ".bias", change);
    check_shape(change, target.tensor.shape);
    target.make = [base = target, change, scale] {
      std::vector<float> values = values_of(base);
      const std::vector<float> more = values_of(change);
      for (size_t i = 0; i < values.size(); ++i) values[i] += scale * more[i];
      return values;
    };
  }

  fs::path file_;
  AdapterConfig config_;
  NamedTensors& tensors_;
  Config& model_;
  CopyBudget budget_;
  std::vector<std::shared_ptr<NamedTensor>> kept_;
  std::map<std::string, Factors> factors_;           // by module
  std::map<std::string, const NamedTensor*> whole_;  // by parameter
};

}  // namespace

bool is_adapter(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / kAdapterConfig, ignored);
}

std::string base_of_adapter(const fs::path& folder) {
  const std::string name = (folder / kAdapterConfig).string();
  const Json json = read_python_json(folder / kAdapterConfig);
  return JsonFields(json, name).text("base_model_name_or_path").value_or("");
}

std::string merge_adapter(const fs::path& folder, NamedTensors& tensors, Config& config) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored) || !is_adapter(folder))
    user_error("{}: is not an adapter: expected a folder with {}", folder.string(), kAdapterConfig);
  return Merger(folder, tensors, config).run(folder);
}

}  // namespace vitrine::internal
