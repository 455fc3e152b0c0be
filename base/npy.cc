// SPDX-License-Identifier: MIT
#include "base/npy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/float_bits.h"
#include "base/mapped_file.h"
#include "base/quote.h"
#include "base/text_file.h"

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

/// An element type of a file: `size` bytes, in memory `dtype`, which may be wider.
struct Element {
  std::string_view code;  ///< NumPy's, without the byte order
  size_t size;
  DType dtype;
  bool is_unsigned = false;
};
constexpr std::array<Element, 12> kElements = {{{"f2", 2, DType::kF16},
                                                {"f4", 4, DType::kF32},
                                                {"f8", 8, DType::kF64},
                                                {"i1", 1, DType::kI8},
                                                {"i2", 2, DType::kI16},
                                                {"i4", 4, DType::kI32},
                                                {"i8", 8, DType::kI64},
                                                {"u1", 1, DType::kU8, true},
                                                {"u2", 2, DType::kI32, true},
                                                {"u4", 4, DType::kI64, true},
                                                {"u8", 8, DType::kI64, true},
                                                {"b1", 1, DType::kBool, true}}};

struct Header {
  Element element{};
  bool big_endian = false, fortran = false;
  Shape shape;
};

// The header is the text of a Python dict. This reads exactly the three entries that NumPy writes,
// in any order.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  Header parse() {
    expect('{');
    while (!accept('}')) {
      const std::string_view key = string();
      expect(':');
      if (key == "descr" && !element_)
        element_ = element();
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
    if (!element_ || !order_seen_ || !shape_)
      user_error("{}: .npy header: missing one of descr, fortran_order, shape", name_);
    return {*element_, big_endian_, fortran_, *shape_};
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
  Element element() {
    if (peek() == '[')
      user_error("{}: has elements of several fields: expected numbers; save one field", name_);
    const std::string_view found = string();
    if (!found.empty() && std::string_view("<>=|").find(found[0]) != std::string_view::npos) {
      for (const Element& known : kElements) {
        if (found.substr(1) != known.code) continue;
        big_endian_ = found[0] == '>';
        return known;
      }
    }
    user_error(
        "{}: has elements of type {}: expected float16, float32, float64, integers or booleans; "
        "convert it with astype",
        name_, quote(found));
  }
  void fortran_order() {
    skip_space();
    const std::string_view rest = text_.substr(at_);
    fortran_ = rest.starts_with("True");
    if (!fortran_ && !rest.starts_with("False")) fail("True or False");
    at_ += fortran_ ? 4 : 5;
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
  std::optional<Element> element_;
  std::optional<Shape> shape_;
  bool big_endian_ = false, fortran_ = false, order_seen_ = false;
};

// The header's text and where the data begins.
std::pair<std::string_view, size_t> find_header(std::span<const std::byte> file,
                                                const std::string& name) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (!text.starts_with(kMagic) || text.size() < 10) {
    refuse_other_format(text, name, "a .npy file");
    user_error("{}: is not a .npy file", name);
  }
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

namespace {

/// The place in a file in Fortran order of element `at` in C order.
size_t fortran_index(size_t at, const Shape& shape) {
  size_t index = 0, stride = static_cast<size_t>(shape.elements());
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    const auto size = static_cast<size_t>(shape[axis]);
    stride /= size;
    index += at % size * stride;
    at /= size;
  }
  return index;
}

/// Little-endian bytes of one element, widened to `wide` bytes.
void put_element(std::byte* to, size_t wide, const std::byte* from, const Header& header,
                 const std::string& name) {
  const size_t size = header.element.size;
  std::array<std::byte, 8> bytes{};
  std::copy_n(from, size, bytes.begin());
  if (header.big_endian) std::reverse(bytes.begin(), bytes.begin() + size);
  // An unsigned number is as it is with zeros above it; the top bit of 64 has no room.
  if (header.element.is_unsigned && size == 8 && (bytes[7] & std::byte{0x80}) != std::byte{})
    user_error("{}: has a uint64 above {}: expected smaller numbers; convert it with astype", name,
               std::numeric_limits<int64_t>::max());
  std::copy_n(bytes.begin(), wide, to);
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
  const Header found = HeaderParser(header, name).parse();
  const auto& [element, big_endian, fortran, shape] = found;
  const size_t available = file.size() - data_begin;
  size_t wanted = 0;
  if (__builtin_mul_overflow(static_cast<size_t>(shape.elements()), element.size, &wanted) ||
      wanted != available) {
    user_error("{}: has {} bytes of data: expected {} elements of {} bytes", name, available,
               shape.to_string(), element.size);
  }
  Tensor tensor(element.dtype, shape);
  const std::byte* from = file.data() + data_begin;
  auto* to = static_cast<std::byte*>(tensor.data());
  const size_t wide = dtype_size(element.dtype);
  const bool checked = element.is_unsigned && element.size == 8;
  if (wide == element.size && !checked && !big_endian && !fortran) {
    if (wanted != 0) std::memcpy(to, from, wanted);
    return tensor;
  }
  for (size_t i = 0; i < static_cast<size_t>(shape.elements()); ++i) {
    const size_t at = fortran ? fortran_index(i, shape) : i;
    put_element(to + i * wide, wide, from + at * element.size, found, name);
  }
  return tensor;
}

std::vector<double> to_f64(const TensorView& tensor) {
  std::vector<double> values(static_cast<size_t>(tensor.elements()));
  const std::byte* bytes = tensor.host_bytes().data();
  const auto copy = [&]<typename T>(T) {
    const auto* from = reinterpret_cast<const T*>(bytes);
    std::copy_n(from, values.size(), values.begin());
  };
  switch (tensor.dtype()) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16: {
      const std::vector<float> floats = tensor.to_f32();
      std::copy(floats.begin(), floats.end(), values.begin());
      break;
    }
    case DType::kF64:
      copy(double{});
      break;
    case DType::kI64:
      copy(int64_t{});
      break;
    case DType::kI32:
      copy(int32_t{});
      break;
    case DType::kI16:
      copy(int16_t{});
      break;
    case DType::kI8:
      copy(int8_t{});
      break;
    case DType::kU8:
    case DType::kBool:
      copy(uint8_t{});
      break;
  }
  return values;
}

Tensor read_npy(const std::filesystem::path& path) {
  const MappedFile file(path);
  return parse_npy(file.bytes(), path.string());
}

}  // namespace vitrine::internal
