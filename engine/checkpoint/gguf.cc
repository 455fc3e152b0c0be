// SPDX-License-Identifier: MIT
#include "engine/checkpoint/gguf.h"

#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/float_bits.h"
#include "base/gguf_header.h"
#include "base/quote.h"
#include "engine/checkpoint/config.h"
#include "engine/checkpoint/nanogpt.h"
#include "engine/parameters.h"

namespace vitrine::internal {
namespace {

enum GgmlType : uint32_t { kGgmlF32 = 0, kGgmlF16 = 1, kGgmlQ8 = 8, kGgmlBf16 = 30 };

constexpr std::array<std::pair<uint32_t, const char*>, 12> kOtherTypes = {{{2, "q4_0"},
                                                                           {3, "q4_1"},
                                                                           {6, "q5_0"},
                                                                           {7, "q5_1"},
                                                                           {10, "q2_K"},
                                                                           {11, "q3_K"},
                                                                           {12, "q4_K"},
                                                                           {13, "q5_K"},
                                                                           {14, "q6_K"},
                                                                           {20, "iq4_nl"},
                                                                           {23, "iq4_xs"},
                                                                           {28, "f64"}}};

std::string type_name(uint32_t type) {
  for (const auto& [known, name] : kOtherTypes) {
    if (known == type) return name;
  }
  return fmt::format("ggml's type {}", type);
}

/// Names outside the blocks, and inside them after "blk.3." and "h.3.".
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kOuterNames = {
    {{"token_embd.weight", "wte.weight"},
     {"position_embd.weight", "wpe.weight"},
     {"output_norm.weight", "ln_f.weight"},
     {"output_norm.bias", "ln_f.bias"},
     {"output.weight", "lm_head.weight"}}};
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kBlockNames = {
    {{"attn_norm.", "ln_1."},
     {"attn_qkv.", "attn.c_attn."},
     {"attn_output.", "attn.c_proj."},
     {"ffn_norm.", "ln_2."},
     {"ffn_up.", "mlp.c_fc."},
     {"ffn_down.", "mlp.c_proj."}}};

std::string gpt2_name(std::string_view name) {
  for (const auto& [theirs, ours] : kOuterNames) {
    if (name == theirs) return std::string(ours);
  }
  constexpr std::string_view kBlock = "blk.";
  const size_t dot = name.find('.', kBlock.size());
  if (!name.starts_with(kBlock) || dot == std::string_view::npos) return std::string(name);
  const std::string_view layer = name.substr(kBlock.size(), dot - kBlock.size()),
                         rest = name.substr(dot + 1);
  for (const auto& [theirs, ours] : kBlockNames) {
    if (rest.starts_with(theirs))
      return fmt::format("h.{}.{}{}", layer, ours, rest.substr(theirs.size()));
  }
  return std::string(name);
}

// Blocks of 32 elements along the last axis: a scale of 16 bits, and 32 whole numbers.
constexpr int64_t kBlockElements = 32;
constexpr size_t kBlockBytes = sizeof(uint16_t) + kBlockElements;

struct Quantised {
  std::shared_ptr<const MappedFile> file;
  size_t begin = 0;
  int64_t rows = 1, cols = 0;
  bool transposed = false;
};

/// As ggml's dequantize_row_q8_0.
std::vector<float> dequantised(const Quantised& q) {
  std::vector<float> values(static_cast<size_t>(q.rows * q.cols));
  const std::byte* block = q.file->data() + q.begin;
  for (int64_t row = 0; row < q.rows; ++row) {
    for (int64_t col = 0; col < q.cols; ++col) {
      const int64_t within = col % kBlockElements;
      uint16_t scale = 0;
      std::memcpy(&scale, block, sizeof(scale));
      const auto number = static_cast<int8_t>(block[sizeof(scale) + static_cast<size_t>(within)]);
      const int64_t at = q.transposed ? col * q.rows + row : row * q.cols + col;
      values[static_cast<size_t>(at)] = static_cast<float>(number) * f16_to_f32(scale);
      if (within == kBlockElements - 1) block += kBlockBytes;
    }
  }
  return values;
}

std::optional<DType> plain_type(uint32_t type) {
  if (type == kGgmlF32) return DType::kF32;
  if (type == kGgmlF16) return DType::kF16;
  if (type == kGgmlBf16) return DType::kBF16;
  return std::nullopt;
}

class Builder {
 public:
  Builder(const std::shared_ptr<const MappedFile>& file, const GgufHeader& header)
      : file_(file), path_(file->path().string()), header_(header) {}

  GgufCheckpoint build() {
    const auto architecture = header_.texts.find("general.architecture");
    const bool named = architecture != header_.texts.end();
    if (!named || architecture->second != "gpt2")
      user_error(
          "{}: is a GGUF file of {}: expected the architecture 'gpt2'; use the model's "
          "safetensors",
          path_, named ? quote(architecture->second) : "a model that it does not name");
    for (const GgufTensor& tensor : header_.tensors) add(tensor);
    read_config();
    if (const auto end = number("tokenizer.ggml.eos_token_id"); end && *end >= 0 && *end < 1e9)
      result_.end_ids.push_back(static_cast<int64_t>(*end));
    return std::move(result_);
  }

 private:
  void add(const GgufTensor& tensor) {
    const std::string name = gpt2_name(tensor.name);
    const std::string where = fmt::format("{}: tensor {}", path_, quote(tensor.name));
    CheckpointFiles& files = result_.files;
    if (files.tensors.contains(name) || files.other_types.contains(name))
      user_error("{}: duplicate tensor", where);
    const auto plain = plain_type(tensor.type);
    if ((!plain && tensor.type != kGgmlQ8) || tensor.shape.rank() == 0) {
      files.other_types.emplace(name, type_name(tensor.type));
      return;
    }
    const int64_t elements = tensor.shape.elements(), cols = tensor.shape.back();
    if (!plain && cols % kBlockElements != 0)
      user_error(
          "{}: its rows of {} elements do not form blocks of q8_0: expected a multiple of {}",
          where, cols, kBlockElements);
    const uint64_t each = plain ? dtype_size(*plain) : 1, size = file_->size();
    const uint64_t count =
        plain ? static_cast<uint64_t>(elements)
              : static_cast<uint64_t>(elements / kBlockElements) * uint64_t{kBlockBytes};
    if (tensor.begin > size || count > (size - tensor.begin) / each)
      user_error("{}: truncated: the file of {} bytes ends before its {} elements", where, size,
                 elements);
    StoredTensor stored =
        StoredTensor::dense(file_, tensor.begin, plain.value_or(DType::kF32), tensor.shape);
    const int64_t before = tensor.shape.rank() == 2 ? tensor.shape[0] : 0;
    transpose_linear(name, stored);
    if (!plain)
      add_quantised(name, tensor, stored.shape != tensor.shape || is_turned(name, before));
    files.tensors.emplace(name, std::move(stored));
  }

  /// A square matrix has the same shape transposed.
  static bool is_turned(const std::string& name, int64_t rows) {
    StoredTensor probe;
    probe.shape = Shape{rows + 1, rows};
    transpose_linear(name, probe);
    return rows > 0 && probe.shape[0] == rows;
  }

  void add_quantised(const std::string& name, const GgufTensor& tensor, bool transposed) {
    const int64_t cols = tensor.shape.back();
    const Quantised q{file_, tensor.begin, cols == 0 ? 0 : tensor.shape.elements() / cols, cols,
                      transposed};
    result_.files.made.emplace(name, [q] { return dequantised(q); });
  }

  std::optional<double> number(std::string_view name) const {
    const auto found = header_.numbers.find(name);
    return found == header_.numbers.end() ? std::nullopt : std::optional(found->second);
  }

  int64_t size(const char* name) const {
    const auto value = number(name);
    if (!value) user_error("{}: missing {}: expected a size", path_, name);
    constexpr double kMost = 1 << 30;
    if (!(*value >= 1 && *value <= kMost) || *value != std::floor(*value))
      user_error("{}: {} is {}: expected a size", path_, name, *value);
    return static_cast<int64_t>(*value);
  }

  void read_config() {
    Config& config = result_.config;
    constexpr int64_t kMostParts = 1000;
    config.layers = static_cast<int>(std::min(size("gpt2.block_count"), kMostParts + 1));
    config.heads = static_cast<int>(std::min(size("gpt2.attention.head_count"), kMostParts + 1));
    config.width = size("gpt2.embedding_length");
    config.inner = size("gpt2.feed_forward_length");
    config.context = size("gpt2.context_length");
    const auto table = result_.files.tensors.find(kTokenEmbedding);
    if (const auto other = result_.files.other_types.find(kTokenEmbedding);
        other != result_.files.other_types.end())
      user_error(
          "{}: its weights are {}: expected f32, f16, bf16 or q8_0; use the model's "
          "safetensors",
          path_, other->second);
    if (table == result_.files.tensors.end())
      user_error("{}: missing tensor 'token_embd.weight' of f32, f16, bf16 or q8_0", path_);
    config.vocab = table->second.shape[0];
    const double epsilon = number("gpt2.attention.layer_norm_epsilon").value_or(1e-5);
    if (!(epsilon > 0 && epsilon <= 1))
      user_error("{}: gpt2.attention.layer_norm_epsilon is {}: expected a number > 0 and <= 1",
                 path_, epsilon);
    config.layer_norm_epsilon = static_cast<float>(epsilon);
    config.tied_unembedding = !result_.files.tensors.contains(kUnembedding) &&
                              !result_.files.other_types.contains(kUnembedding);
    check_config(config, path_);
  }

  std::shared_ptr<const MappedFile> file_;
  std::string path_;
  const GgufHeader& header_;
  GgufCheckpoint result_;
};

}  // namespace

GgufCheckpoint read_gguf_file(const std::filesystem::path& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  const GgufHeader header = parse_gguf_header(file->bytes(), path.string());
  return Builder(file, header).build();
}

}  // namespace vitrine::internal
