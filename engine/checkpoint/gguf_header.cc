// SPDX-License-Identifier: MIT
#include "engine/checkpoint/gguf_header.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/quote.h"

namespace vitrine::internal {
namespace {

// The types of values, by their numbers in the file.
enum ValueType : uint32_t { kBool = 7, kString = 8, kArray = 9, kTypes = 13 };
// Bytes of a value; 0: not of one size.
constexpr std::array<size_t, kTypes> kSizes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

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
    case kBool:
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

void skip_array(HeaderReader& reader) {
  const auto type = reader.number<uint32_t>();
  const auto count = reader.number<uint64_t>();
  if (type == kString) {
    for (uint64_t i = 0; i < count; ++i) reader.take(reader.number<uint64_t>());
    return;
  }
  const size_t size = type < kTypes ? kSizes[type] : 0;
  uint64_t bytes = 0;
  if (size == 0 || __builtin_mul_overflow(count, size, &bytes))
    reader.fail(fmt::format("an array has elements of the unknown type {}", type));
  reader.take(bytes);
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
    if (type == kArray) {
      skip_array(reader);
      header.arrays.push_back(std::move(name));
    } else if (type == kString) {
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
