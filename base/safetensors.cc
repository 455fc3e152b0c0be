// SPDX-License-Identifier: MIT
#include "vitrine/checkpoint/safetensors.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/json_value.h"
#include "base/mapped_file.h"
#include "base/quote.h"
#include "base/safetensors_header.h"
#include "base/utf8.h"
#include "base/xxhash64.h"

namespace vitrine {
using namespace internal;

struct SafetensorsFile::Impl {
  explicit Impl(const std::filesystem::path& path) : file(path) {
    header = parse_safetensors_header(file.bytes(), path.string());
    for (const SafetensorsEntry& entry : header.entries) {
      names.push_back(entry.name);
      index.emplace(entry.name, &entry);
    }
  }

  const SafetensorsEntry& find(std::string_view name) const {
    const auto it = index.find(name);
    if (it == index.end()) user_error("{}: missing tensor {}", file.path().string(), quote(name));
    return *it->second;
  }

  MappedFile file;
  SafetensorsHeader header;
  std::vector<std::string> names;
  std::unordered_map<std::string_view, const SafetensorsEntry*> index;
};

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : impl_(std::make_shared<Impl>(path)) {}

const std::filesystem::path& SafetensorsFile::path() const { return impl_->file.path(); }

const std::vector<std::string>& SafetensorsFile::names() const { return impl_->names; }

bool SafetensorsFile::has(std::string_view name) const { return impl_->index.contains(name); }

TensorView SafetensorsFile::tensor(std::string_view name) const {
  const SafetensorsEntry& entry = impl_->find(name);
  return {impl_->file.aligned(entry.begin, entry.end - entry.begin, dtype_size(entry.dtype)),
          entry.dtype, entry.shape};
}

void SafetensorsFile::release(std::string_view name) const {
  const SafetensorsEntry& entry = impl_->find(name);
  impl_->file.release(entry.begin, entry.end - entry.begin);
}

const std::map<std::string, std::string>& SafetensorsFile::metadata() const {
  return impl_->header.metadata;
}

namespace {

using Declaration = SafetensorsWriter::Declaration;

bool is_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const Utf8Step step = utf8_step(bytes);
    if (!step.valid) return false;
    bytes.remove_prefix(step.length);
  }
  return true;
}

/// Fields stay in the order in which they are declared, as readers of a stream want it.
std::string header_text(const std::string& path, const std::vector<Declaration>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  std::string text = "{";
  bool utf8 = true;
  const auto add = [&](const std::string& name, const std::string& value) {
    utf8 = utf8 && is_utf8(name);
    text += fmt::format("{}{}:{}", text.size() > 1 ? "," : "", JsonValue(name).dump(), value);
  };
  for (const auto& [key, value] : metadata) utf8 = utf8 && is_utf8(key) && is_utf8(value);
  if (!metadata.empty()) add("__metadata__", JsonValue(metadata).dump());
  size_t offset = 0;
  for (const auto& [name, dtype, shape] : tensors) {
    if (name.empty() || name == "__metadata__")
      user_error("{}: invalid tensor name {}", path, quote(name));
    const size_t end = offset + static_cast<size_t>(shape.elements()) * dtype_size(dtype);
    add(name,
        fmt::format(R"({{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})",
                    safetensors_dtype_name(dtype), JsonValue(shape.sizes()).dump(), offset, end));
    offset = end;
  }
  text += '}';
  if (!utf8)
    user_error(
        "{}: a tensor's name or the metadata is not UTF-8: expected a UTF-8 safetensors header",
        path);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data begins aligned
  return text;
}

size_t declared_bytes(const Declaration& tensor) {
  return static_cast<size_t>(tensor.shape.elements()) * dtype_size(tensor.dtype);
}

}  // namespace

struct SafetensorsWriter::Impl {
  Impl(const std::filesystem::path& path, std::string header, size_t data_bytes)
      : name(path.string()),
        file(path, 8 + header.size() + data_bytes),
        data_bytes_left(data_bytes) {
    const uint64_t length = header.size();
    append(std::as_bytes(std::span(&length, 1)));
    append(std::as_bytes(std::span(header)));
    data_begin = file.bytes_written();
  }

  void append(std::span<const std::byte> bytes) {
    file.append(bytes);
    hash.update(bytes);
  }

  std::string name;
  AtomicFile file;
  Xxh64 hash;  // of what is appended
  uint64_t data_begin = 0;
  size_t data_bytes_left;
  std::vector<Declaration> tensors;
  std::vector<uint64_t> offsets;  // of each tensor in the data
  size_t next = 0;                // the tensor that the next byte belongs to
  size_t next_has = 0;            // bytes of it already written
  bool any_put = false;
};

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path,
                                     std::vector<Declaration> tensors,
                                     const std::map<std::string, std::string>& metadata) {
  std::unordered_set<std::string_view> seen;
  std::vector<uint64_t> offsets;
  size_t bytes = 0;
  for (const Declaration& tensor : tensors) {
    if (!seen.insert(tensor.name).second)
      user_error("{}: duplicate tensor {}", path.string(), quote(tensor.name));
    size_t size = 0;
    offsets.push_back(bytes);
    if (__builtin_mul_overflow(static_cast<size_t>(tensor.shape.elements()),
                               dtype_size(tensor.dtype), &size) ||
        __builtin_add_overflow(bytes, size, &bytes) || bytes > size_t{1} << 62) {
      user_error("{}: tensor {} {} exceeds the maximum file size", path.string(),
                 quote(tensor.name), tensor.shape.to_string());
    }
  }
  impl_ = std::make_unique<Impl>(path, header_text(path.string(), tensors, metadata), bytes);
  impl_->tensors = std::move(tensors);
  impl_->offsets = std::move(offsets);
}

SafetensorsWriter::~SafetensorsWriter() = default;

void SafetensorsWriter::append(std::span<const std::byte> bytes) {
  Impl& w = *impl_;
  if (bytes.size() > w.data_bytes_left) {
    user_error("{}: {} bytes appended: expected at most {}", w.name, bytes.size(),
               w.data_bytes_left);
  }
  w.append(bytes);
  w.data_bytes_left -= bytes.size();
  w.next_has += bytes.size();
  // A tensor without elements is passed over when bytes of a later one come, or when it is itself
  // appended.
  while (w.next < w.tensors.size() && w.next_has > 0 &&
         w.next_has >= declared_bytes(w.tensors[w.next])) {
    w.next_has -= declared_bytes(w.tensors[w.next++]);
  }
}

void SafetensorsWriter::append(const TensorView& tensor) {
  Impl& w = *impl_;
  if (w.next == w.tensors.size())
    user_error("{}: too many tensors appended: expected the {} declared", w.name, w.tensors.size());
  const Declaration& wanted = w.tensors[w.next];
  if (w.next_has != 0)
    user_error("{}: tensor {} is incomplete: append its remaining bytes first", w.name,
               quote(wanted.name));
  if (tensor.dtype() != wanted.dtype || tensor.shape() != wanted.shape) {
    user_error("{}: tensor {} was declared as {} {} and appended as {} {}", w.name,
               quote(wanted.name), dtype_name(wanted.dtype), wanted.shape.to_string(),
               dtype_name(tensor.dtype()), tensor.shape().to_string());
  }
  if (tensor.bytes() == 0)
    ++w.next;
  else
    append(tensor.host_bytes());
}

void SafetensorsWriter::put(size_t tensor, uint64_t offset, std::span<const std::byte> bytes) {
  Impl& w = *impl_;
  if (tensor >= w.tensors.size())
    user_error("{}: tensor index {} is out of range: {} tensors are declared", w.name, tensor,
               w.tensors.size());
  const size_t size = declared_bytes(w.tensors[tensor]);
  if (offset > size || bytes.size() > size - offset || bytes.size() > w.data_bytes_left) {
    user_error("{}: {} bytes at offset {} exceed the {} bytes of tensor {}", w.name, bytes.size(),
               offset, size, quote(w.tensors[tensor].name));
  }
  w.file.write_at(w.data_begin + w.offsets[tensor] + offset, bytes);
  w.data_bytes_left -= bytes.size();
  w.any_put = true;
}

void SafetensorsWriter::finish() {
  Impl& w = *impl_;
  if (w.data_bytes_left != 0) {
    if (w.any_put)
      user_error("{}: incomplete file: {} declared bytes were not written", w.name,
                 w.data_bytes_left);
    user_error("{}: incomplete tensor {}: {} declared bytes were not appended", w.name,
               quote(w.tensors[w.next].name), w.data_bytes_left);
  }
  w.file.commit();
}

uint64_t SafetensorsWriter::write(const std::filesystem::path& path,
                                  const std::vector<std::pair<std::string, TensorView>>& tensors,
                                  const std::map<std::string, std::string>& metadata) {
  std::vector<Declaration> declarations;
  for (const auto& [name, tensor] : tensors)
    declarations.push_back({name, tensor.dtype(), tensor.shape()});
  SafetensorsWriter writer(path, std::move(declarations), metadata);
  for (const auto& [name, tensor] : tensors) writer.append(tensor);
  writer.finish();
  return writer.impl_->hash.digest();
}

}  // namespace vitrine
