// SPDX-License-Identifier: MIT
#include "base/npy.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/mapped_file.h"
#include "base/quote.h"

namespace vitrine::internal {
namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr size_t kAlignment = 64;

const char* descr_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "<f4";
    case DType::kF16:
      return "<f2";
    case DType::kF64:
      return "<f8";
    case DType::kI64:
      return "<i8";
    case DType::kI32:
      return "<i4";
    case DType::kI16:
      return "<i2";
    case DType::kI8:
      return "|i1";
    case DType::kU8:
      return "|u1";
    case DType::kBool:
      return "|b1";
    case DType::kBF16:
      break;
  }
  internal_error("dtype {} has no .npy type", dtype_name(dtype));
}

std::string shape_tuple(const Shape& shape) {
  return fmt::format("({}{})", fmt::join(shape.sizes(), ", "),
                     shape.rank() == 1 ? "," : "");  // Python writes (3,) but (2, 3)
}

// The header is the text of a Python dict. This reads exactly the three entries that NumPy writes,
// in any order.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  std::pair<DType, Shape> parse() {
    expect('{');
    while (!accept('}')) {
      const std::string_view key = string();
      expect(':');
      if (key == "descr" && !dtype_)
        dtype_ = dtype();
      else if (key == "fortran_order" && !order_seen_)
        fortran_order();
      else if (key == "shape" && !shape_)
        shape_ = shape();
      else
        user_error("{}: duplicate or unknown entry {} in .npy header", name_, quote(key));
      if (!accept(',') && peek() != '}') fail("',' or '}'");
    }
    skip_space();
    if (at_ != text_.size()) fail("the end");
    if (!dtype_ || !order_seen_ || !shape_)
      user_error("{}: .npy header: missing one of descr, fortran_order, shape", name_);
    return {*dtype_, *shape_};
  }

 private:
  [[noreturn]] void fail(std::string_view wanted) {
    user_error("{}: invalid .npy header: expected {} at {}", name_, wanted,
               quote(text_.substr(at_), 20));
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  char peek() {
    skip_space();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char c) {
    if (peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(fmt::format("'{}'", c));
  }
  std::string_view string() {
    const char mark = peek();
    if (mark != '\'' && mark != '"') fail("a string");
    const size_t end = text_.find(mark, at_ + 1);
    if (end == std::string_view::npos) fail("a closing quote");
    const std::string_view value = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return value;
  }
  DType dtype() {
    const std::string_view found = string();
    for (const DType known : {DType::kF32, DType::kF64, DType::kI32, DType::kI64}) {
      if (found == descr_of(known)) return known;
    }
    user_error(
        "{}: has elements of type {}: expected '<f4', '<f8', '<i4' or '<i8' (float32, float64, "
        "int32, int64)",
        name_, quote(found));
  }
  void fortran_order() {
    skip_space();
    const std::string_view rest = text_.substr(at_);
    if (rest.starts_with("True"))
      user_error("{}: is in Fortran order: expected C order; save it with numpy.ascontiguousarray",
                 name_);
    if (!rest.starts_with("False")) fail("True or False");
    at_ += 5;
    order_seen_ = true;
  }
  Shape shape() {
    std::vector<int64_t> sizes;
    expect('(');
    while (!accept(')')) {
      sizes.push_back(integer());
      if (sizes.size() > Shape::kMaxRank)
        user_error("{}: has too many axes: expected at most {}", name_, Shape::kMaxRank);
      if (!accept(',') && peek() != ')') fail("',' or ')'");
    }
    try {
      return Shape(sizes);
    } catch (const Error& error) {
      user_error("{}: {}", name_, error.what());
    }
  }
  int64_t integer() {
    int64_t value = 0;
    const char first = peek();
    if (first < '0' || first > '9') fail("a size");
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      if (__builtin_mul_overflow(value, 10, &value) ||
          __builtin_add_overflow(value, text_[at_] - '0', &value))
        fail("a size of 63 bits");
    }
    return value;
  }

  std::string_view text_;
  const std::string& name_;
  size_t at_ = 0;
  std::optional<DType> dtype_;
  std::optional<Shape> shape_;
  bool order_seen_ = false;
};

// The header's text and where the data begins.
std::pair<std::string_view, size_t> find_header(std::span<const std::byte> file,
                                                const std::string& name) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (!text.starts_with(kMagic) || text.size() < 10) user_error("{}: is not a .npy file", name);
  const int version = static_cast<unsigned char>(text[6]);
  if (version < 1 || version > 3)
    user_error("{}: unknown .npy version {}: expected 1 to 3", name, version);
  const size_t length_bytes = version == 1 ? 2 : 4;
  const size_t begin = 8 + length_bytes;
  if (text.size() < begin) user_error("{}: truncated in its .npy header", name);
  size_t length = 0;
  std::memcpy(&length, text.data() + 8, length_bytes);
  if (length > text.size() - begin)
    user_error("{}: truncated in its .npy header of {} bytes", name, length);
  return {text.substr(begin, length), begin + length};
}

}  // namespace

std::string npy_header(DType dtype, const Shape& shape) {
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}",
                                   descr_of(dtype), shape_tuple(shape));
  const size_t before = kMagic.size() + 4;  // magic, version, length
  header.resize(
      (before + header.size() + 1 + kAlignment - 1) / kAlignment * kAlignment - before - 1, ' ');
  header += '\n';
  const std::array<char, 4> version_and_length = {1, 0, static_cast<char>(header.size() & 0xff),
                                                  static_cast<char>(header.size() >> 8)};
  return std::string(kMagic) + std::string(version_and_length.data(), version_and_length.size()) +
         header;
}

DType write_npy(const std::filesystem::path& path, const TensorView& tensor) {
  if (tensor.dtype() == DType::kBF16) {
    const std::vector<float> wide = tensor.to_f32();
    return write_npy(path, TensorView(wide.data(), DType::kF32, tensor.shape()));
  }
  const std::string header = npy_header(tensor.dtype(), tensor.shape());
  const std::span<const std::byte> elements =
      tensor.host_bytes();  // refused before a file is begun
  AtomicFile file(path, header.size() + elements.size());
  file.append(header);
  file.append(elements);
  file.commit();
  return tensor.dtype();
}

Tensor parse_npy(std::span<const std::byte> file, const std::string& name) {
  const auto [header, data_begin] = find_header(file, name);
  const auto [dtype, shape] = HeaderParser(header, name).parse();
  const size_t available = file.size() - data_begin;
  size_t wanted = 0;
  if (__builtin_mul_overflow(static_cast<size_t>(shape.elements()), dtype_size(dtype), &wanted) ||
      wanted != available) {
    user_error("{}: has {} bytes of data: expected {} elements of {}", name, available,
               shape.to_string(), dtype_name(dtype));
  }
  Tensor tensor(dtype, shape);
  if (wanted != 0) std::memcpy(tensor.data(), file.data() + data_begin, wanted);
  return tensor;
}

Tensor read_npy(const std::filesystem::path& path) {
  const MappedFile file(path);
  return parse_npy(file.bytes(), path.string());
}

}  // namespace vitrine::internal
