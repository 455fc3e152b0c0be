// SPDX-License-Identifier: MIT
#include "base/safetensors_header.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "base/quote.h"
#include "base/text_file.h"

namespace vitrine::internal {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr const char* kMetadata = "__metadata__";

constexpr std::array<std::pair<const char*, DType>, 10> kDtypes = {{{"F32", DType::kF32},
                                                                    {"F16", DType::kF16},
                                                                    {"BF16", DType::kBF16},
                                                                    {"F64", DType::kF64},
                                                                    {"I64", DType::kI64},
                                                                    {"I32", DType::kI32},
                                                                    {"I16", DType::kI16},
                                                                    {"I8", DType::kI8},
                                                                    {"U8", DType::kU8},
                                                                    {"BOOL", DType::kBool}}};

void parse_dtype(const Json& value, bool unknown_too, SafetensorsEntry& entry,
                 const std::string& where) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    for (const auto& [name, dtype] : kDtypes) {
      if (text != name) continue;
      entry.dtype = dtype;
      return;
    }
    entry.unknown_dtype = text;
    if (unknown_too && !text.empty()) return;
  }
  user_error("{}: unknown dtype {}: expected F32, F16, BF16, F64, I64, I32, I16, I8, U8 or BOOL",
             where, describe_json(value));
}

uint64_t parse_count(const Json& value, const char* what, const std::string& where) {
  if (!value.is_number_unsigned())
    user_error("{}: {} contains {}: expected integers >= 0", where, what, describe_json(value));
  return value.get<uint64_t>();
}

Shape parse_shape(const Json& value, const std::string& where) {
  if (!value.is_array())
    user_error("{}: shape is {}: expected a list of sizes", where, describe_json(value));
  if (value.size() > Shape::kMaxRank)
    user_error("{}: shape has {} axes: expected at most {}", where, value.size(), Shape::kMaxRank);
  std::vector<int64_t> sizes;
  for (const Json& size : value) {
    const uint64_t count = parse_count(size, "shape", where);
    if (count > uint64_t{INT64_MAX})
      user_error("{}: shape contains {}: expected at most 63 bits", where, count);
    sizes.push_back(static_cast<int64_t>(count));
  }
  try {
    return Shape(sizes);
  } catch (const Error& error) {
    user_error("{}: {}", where, error.what());
  }
}

const Json& member(const Json& object, const char* name, const std::string& where) {
  const auto it = object.find(name);
  if (it == object.end()) user_error("{}: missing {}", where, name);
  return *it;
}

SafetensorsEntry parse_entry(const std::string& name, const Json& value, bool unknown_dtypes,
                             size_t data_begin, size_t file_size, const std::string& path) {
  const std::string where = fmt::format("{}: tensor {}", path, quote(name));
  if (!value.is_object())
    user_error("{}: is {}: expected an object with dtype, shape and data_offsets", where,
               describe_json(value));
  SafetensorsEntry entry;
  entry.name = name;
  parse_dtype(member(value, "dtype", where), unknown_dtypes, entry, where);
  entry.shape = parse_shape(member(value, "shape", where), where);
  const Json& offsets = member(value, "data_offsets", where);
  if (!offsets.is_array() || offsets.size() != 2) {
    user_error("{}: data_offsets is {}: expected [begin, end]", where, describe_json(offsets));
  }
  const uint64_t begin = parse_count(offsets[0], "data_offsets", where);
  const uint64_t end = parse_count(offsets[1], "data_offsets", where);
  const size_t available = file_size - data_begin;
  if (begin > end || end > available) {
    user_error("{}: data_offsets [{}, {}] are out of range: the file has {} bytes of data{}", where,
               begin, end, available, end > available ? " (truncated?)" : "");
  }
  size_t wanted = 0;
  const bool overflows = __builtin_mul_overflow(static_cast<size_t>(entry.shape.elements()),
                                                dtype_size(entry.dtype), &wanted);
  if (entry.unknown_dtype.empty() && (overflows || wanted != end - begin)) {
    user_error("{}: dtype {} and shape {} do not match the {} bytes of data_offsets [{}, {}]",
               where, dtype_name(entry.dtype), entry.shape.to_string(), end - begin, begin, end);
  }
  entry.begin = data_begin + begin;
  entry.end = data_begin + end;
  return entry;
}

std::map<std::string, std::string> parse_metadata(const Json& value, const std::string& path) {
  if (!value.is_object())
    user_error("{}: {} is {}: expected an object of strings", path, kMetadata,
               describe_json(value));
  std::map<std::string, std::string> metadata;
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string())
      user_error("{}: {} {} is {}: expected a string", path, kMetadata, quote(key),
                 describe_json(text));
    metadata[key] = text.get<std::string>();
  }
  return metadata;
}

// The format allows neither gaps nor overlaps: otherwise two readers could see different things in
// one file.
void check_cover(std::vector<SafetensorsEntry>& entries, size_t data_begin, size_t file_size,
                 const std::string& path) {
  std::sort(entries.begin(), entries.end(),
            [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
              return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
            });
  size_t expected = data_begin;
  const std::string* previous = nullptr;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin != expected) {
      user_error("{}: tensor {} begins at byte {} of the data, {}{}: expected {}", path,
                 quote(entry.name), entry.begin - data_begin,
                 entry.begin < expected ? "overlapping " : "leaving a gap after ",
                 previous ? quote(*previous) : std::string("the header"), expected - data_begin);
    }
    expected = entry.end;
    previous = &entry.name;
  }
  if (expected != file_size) {
    user_error("{}: has {} extra bytes after the last tensor", path, file_size - expected);
  }
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file, const std::string& path,
                                           bool unknown_dtypes) {
  if (file.size() < kLengthBytes) {
    user_error(
        "{}: truncated: has {} bytes: expected at least the {} bytes of a safetensors header's "
        "length",
        path, file.size(), kLengthBytes);
  }
  uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);  // little-endian, as are all machines we run on
  const std::string_view bytes(reinterpret_cast<const char*>(file.data()), file.size());
  if (length > kMaxSafetensorsHeader || length > file.size() - kLengthBytes)
    refuse_other_format(bytes, path, "a safetensors file");
  if (length > kMaxSafetensorsHeader) {
    user_error("{}: is not a safetensors file: its header length is {}: expected at most {}", path,
               length, kMaxSafetensorsHeader);
  }
  if (length > file.size() - kLengthBytes) {
    user_error("{}: truncated: its safetensors header is {} bytes, but only {} follow", path,
               length, file.size() - kLengthBytes);
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes, length);
  if (text.empty() || text.front() != '{') {
    refuse_other_format(bytes, path, "a safetensors file");
    user_error("{}: is not a safetensors file: expected '{{' at the start of its header", path);
  }
  const Json header = parse_json(text, path);
  SafetensorsHeader result;
  const size_t data_begin = kLengthBytes + length;
  for (const auto& [name, value] : header.items()) {
    if (name == kMetadata) {
      result.metadata = parse_metadata(value, path);
    } else {
      result.entries.push_back(
          parse_entry(name, value, unknown_dtypes, data_begin, file.size(), path));
    }
  }
  check_cover(result.entries, data_begin, file.size(), path);
  return result;
}

std::string safetensors_dtype_name(DType dtype) {
  for (const auto& [name, value] : kDtypes) {
    if (value == dtype) return name;
  }
  internal_error("dtype {} has no safetensors name", dtype_name(dtype));
}

}  // namespace vitrine::internal
