// SPDX-License-Identifier: MIT
#include "base/gguf_header.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/quote.h"

namespace vitrine::internal {
namespace {

// The types of values, by their numbers in the file.
enum ValueType : uint32_t {
  kGgufInt32 = 5,
  kGgufBool = 7,
  kGgufString = 8,
  kGgufArray = 9,
  kValueTypes = 13
};
// Bytes of a value; 0: not of one size.
constexpr std::array<size_t, kValueTypes> kValueSizes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

constexpr uint64_t kMostTensors = 1 << 20;
constexpr uint32_t kMostAxes = 4;

class HeaderReader {
 public:
  HeaderReader(std::span<const std::byte> bytes, const std::string& path)
      : bytes_(bytes), path_(path) {}

  [[noreturn]] void fail(std::string_view what) const {
    user_error(
        "{}: is a GGUF file, but {} (byte {}): expected one of version 2 or 3; download it "
        "again, or use the model's safetensors",
        path_, what, at_);
  }

  const std::byte* take(uint64_t count) {
    if (count > bytes_.size() - at_) fail("truncated");
    const std::byte* data = bytes_.data() + at_;
    at_ += count;
    return data;
  }

  template <typename T>
  T number() {
    T value{};
    std::memcpy(&value, take(sizeof(T)), sizeof(T));
    return value;
  }

  std::string text() {
    const auto length = number<uint64_t>();
    const std::byte* data = take(length);
    return {reinterpret_cast<const char*>(data), length};
  }

  size_t at() const { return at_; }

 private:
  std::span<const std::byte> bytes_;
  const std::string& path_;
  size_t at_ = 0;
};

double scalar(HeaderReader& reader, uint32_t type) {
  switch (type) {
    case 0:
      return reader.number<uint8_t>();
    case 1:
      return reader.number<int8_t>();
    case 2:
      return reader.number<uint16_t>();
    case 3:
      return reader.number<int16_t>();
    case 4:
      return reader.number<uint32_t>();
    case 5:
      return reader.number<int32_t>();
    case 6:
      return static_cast<double>(reader.number<float>());
    case kGgufBool:
      return reader.number<uint8_t>();
    case 10:
      return static_cast<double>(reader.number<uint64_t>());
    case 11:
      return static_cast<double>(reader.number<int64_t>());
    case 12:
      return reader.number<double>();
    default:
      reader.fail(fmt::format("a value has the unknown type {}", type));
  }
}

GgufArray array_of(HeaderReader& reader) {
  const auto type = reader.number<uint32_t>();
  const auto count = reader.number<uint64_t>();
  const std::byte* const first = reader.take(0);
  if (type == kGgufString) {
    for (uint64_t i = 0; i < count; ++i) reader.take(reader.number<uint64_t>());
    return {type, count, {first, reader.take(0)}};
  }
  const size_t size = type < kValueTypes ? kValueSizes[type] : 0;
  uint64_t bytes = 0;
  if (size == 0 || __builtin_mul_overflow(count, size, &bytes))
    reader.fail(fmt::format("an array has elements of the unknown type {}", type));
  reader.take(bytes);
  return {type, count, {first, bytes}};
}

const GgufArray& named_array(const GgufHeader& header, std::string_view name, uint32_t type,
                             std::string_view what, const std::string& path) {
  const auto found = header.arrays.find(name);
  if (found == header.arrays.end())
    user_error("{}: missing {}: expected a list of {}", path, name, what);
  if (found->second.type != type)
    user_error("{}: {} is a list of ggml's value type {}: expected {}", path, name,
               found->second.type, what);
  return found->second;
}

GgufTensor tensor_of(HeaderReader& reader) {
  GgufTensor tensor;
  tensor.name = reader.text();
  const auto axes = reader.number<uint32_t>();
  if (axes > kMostAxes)
    reader.fail(fmt::format("the tensor {} has {} axes", quote(tensor.name), axes));
  std::vector<int64_t> sizes;
  for (uint32_t i = 0; i < axes; ++i) sizes.push_back(reader.number<int64_t>());
  std::reverse(sizes.begin(), sizes.end());
  const bool negative = std::any_of(sizes.begin(), sizes.end(), [](int64_t n) { return n < 0; });
  if (negative) reader.fail(fmt::format("the tensor {} has an invalid size", quote(tensor.name)));
  try {
    tensor.shape = Shape(sizes);
  } catch (const Error& error) {
    reader.fail(fmt::format("the tensor {}: {}", quote(tensor.name), error.what()));
  }
  tensor.type = reader.number<uint32_t>();
  tensor.begin = reader.number<uint64_t>();
  return tensor;
}

}  // namespace

std::vector<std::string_view> GgufHeader::texts_of(std::string_view name,
                                                   const std::string& path) const {
  const GgufArray& array = named_array(*this, name, kGgufString, "texts", path);
  std::vector<std::string_view> elements;
  const std::byte* at = array.bytes.data();
  for (uint64_t i = 0; i < array.count; ++i) {
    uint64_t length = 0;
    std::memcpy(&length, at, sizeof(length));
    elements.emplace_back(reinterpret_cast<const char*>(at + sizeof(length)), length);
    at += sizeof(length) + length;
  }
  return elements;
}

std::vector<int32_t> GgufHeader::integers_of(std::string_view name, const std::string& path) const {
  const GgufArray& array = named_array(*this, name, kGgufInt32, "int32", path);
  std::vector<int32_t> elements(array.count);
  std::memcpy(elements.data(), array.bytes.data(), array.bytes.size());
  return elements;
}

GgufHeader parse_gguf_header(std::span<const std::byte> file, const std::string& path) {
  HeaderReader reader(file, path);
  reader.take(4);  // the magic bytes
  const auto version = reader.number<uint32_t>();
  if (version != 2 && version != 3) reader.fail(fmt::format("of version {}", version));
  const auto tensors = reader.number<uint64_t>(), values = reader.number<uint64_t>();
  if (tensors > kMostTensors) reader.fail(fmt::format("says to have {} tensors", tensors));
  GgufHeader header;
  for (uint64_t i = 0; i < values; ++i) {
    std::string name = reader.text();
    const auto type = reader.number<uint32_t>();
    if (type == kGgufArray) {
      header.arrays[name] = array_of(reader);
    } else if (type == kGgufString) {
      header.texts[name] = reader.text();
    } else {
      header.numbers[name] = scalar(reader, type);
    }
  }
  for (uint64_t i = 0; i < tensors; ++i) header.tensors.push_back(tensor_of(reader));
  const auto given = header.numbers.find("general.alignment");
  const double alignment = given == header.numbers.end() ? 32 : given->second;
  if (!(alignment >= 1 && alignment <= 1 << 20))
    reader.fail(fmt::format("general.alignment is {}", alignment));
  const auto step = static_cast<uint64_t>(alignment);
  const uint64_t data = (reader.at() + step - 1) / step * step;
  for (GgufTensor& tensor : header.tensors) {
    if (__builtin_add_overflow(tensor.begin, data, &tensor.begin)) reader.fail("truncated");
  }
  return header;
}

}  // namespace vitrine::internal
