// SPDX-License-Identifier: MIT
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "engine/checkpoint/config.h"
#include "engine/checkpoint/files.h"
#include "engine/parameters.h"

// llm.c's checkpoints: 256 int32 of header, then every parameter of all layers, one parameter after
// another. Its matrices are [out, in], as torch's Linear has them, so they are handed on with their
// strides exchanged.

namespace vitrine::internal {
namespace {

constexpr size_t kHeaderInts = 256;

// Hands out the file's elements in order, and refuses to go past its end.
class Cursor {
 public:
  Cursor(std::shared_ptr<const MappedFile> file, size_t offset, DType dtype)
      : file_(std::move(file)), offset_(offset), dtype_(dtype) {}

  StoredTensor take(const Shape& shape) {
    StoredTensor tensor = StoredTensor::dense(file_, offset_, dtype_, shape);
    if (tensor.span_bytes > file_->size() - offset_) {
      user_error("{}: truncated: {} bytes are fewer than the parameters of its header need",
                 file_->path().string(), file_->size());
    }
    offset_ += tensor.span_bytes;
    return tensor;
  }
  size_t left() const { return file_->size() - offset_; }

 private:
  std::shared_ptr<const MappedFile> file_;
  size_t offset_;
  DType dtype_;
};

}  // namespace

LlmcCheckpoint read_llmc_file(const std::filesystem::path& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  std::array<int32_t, kHeaderInts> header{};
  if (file->size() < sizeof(header))
    user_error("{}: truncated: {} bytes are fewer than llm.c's header", path.string(),
               file->size());
  std::memcpy(header.data(), file->data(), sizeof(header));
  const int32_t magic = header[0], version = header[1], context = header[2], vocab = header[3];
  const int32_t layers = header[4], heads = header[5], width = header[6], padded_vocab = header[7];
  if (magic != kLlmcMagic)
    user_error("{}: invalid magic number {}: expected llm.c's {}", path.string(), magic,
               kLlmcMagic);
  if (version != 3 && version != 5)
    user_error("{}: unknown llm.c version {}: expected 3 (float32) or 5 (bfloat16)", path.string(),
               version);

  LlmcCheckpoint result;
  result.config.layers = layers;
  result.config.heads = heads;
  result.config.width = width;
  result.config.inner = int64_t{4} * width;
  result.config.vocab = vocab;
  result.config.context = context;
  check_config(result.config, path.string());
  if (padded_vocab < vocab || padded_vocab - vocab > (1 << 20)) {
    user_error("{}: invalid padded vocabulary {} for vocab_size {}", path.string(), padded_vocab,
               vocab);
  }
  Cursor cursor(file, sizeof(header), version == 3 ? DType::kF32 : DType::kBF16);
  auto& tensors = result.files.tensors;
  StoredTensor table = cursor.take({padded_vocab, width});
  tensors[kTokenEmbedding] =
      StoredTensor::dense(file, table.offset, table.dtype, {vocab, width});  // without the padding
  tensors[kPositionEmbedding] = cursor.take({context, width});
  for (const Parameter& parameter : block_parameters(result.config)) {
    const bool is_matrix = parameter.kind == ParameterKind::kMatrix;
    const Shape& shape = parameter.shape;
    for (int layer = 0; layer < layers; ++layer) {
      StoredTensor tensor = cursor.take(is_matrix ? Shape{shape[1], shape[0]} : shape);
      if (is_matrix) {
        tensor.shape = shape;
        std::swap(tensor.strides[0], tensor.strides[1]);
      }
      tensors[fmt::format("h.{}.{}", layer, parameter.name)] = std::move(tensor);
    }
  }
  tensors["ln_f.weight"] = cursor.take({width});
  tensors["ln_f.bias"] = cursor.take({width});
  if (cursor.left() != 0)
    user_error("{}: {} extra bytes after the last parameter of its header", path.string(),
               cursor.left());
  return result;
}

}  // namespace vitrine::internal
