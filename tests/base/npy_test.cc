// SPDX-License-Identifier: MIT
#include "base/npy.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "base/float_bits.h"
#include "tests/base/test_files.h"

namespace vitrine {
using namespace internal;
namespace {

using testing::as_bytes;
using testing::error_of;
using testing::read_bytes;
using testing::says;
using testing::TempFolder;

const std::string kGoldens = VITRINE_SOURCE_DIR "/tests/base/npy/";

template <typename T>
std::vector<T> values(const Tensor& tensor) {
  const T* data = static_cast<const T*>(tensor.data());
  return {data, data + tensor.elements()};
}

TEST(Npy, ReadsWhatNumPyWrote) {
  EXPECT_EQ(values<float>(read_npy(kGoldens + "f4.npy")), (std::vector<float>{-2, -1, 0, 1, 2, 3}));
  EXPECT_EQ(values<double>(read_npy(kGoldens + "f8.npy")),
            (std::vector<double>{-2, -1, 0, 1, 2, 3}));
  EXPECT_EQ(values<int32_t>(read_npy(kGoldens + "i4.npy")),
            (std::vector<int32_t>{-2, -1, 0, 1, 2, 3}));
  EXPECT_EQ(values<int64_t>(read_npy(kGoldens + "i8.npy")),
            (std::vector<int64_t>{-2, -1, 0, 1, 2, 3}));
  EXPECT_EQ(values<float>(read_npy(kGoldens + "version2.npy")),
            (std::vector<float>{-2, -1, 0, 1, 2, 3}));
  EXPECT_EQ(read_npy(kGoldens + "f4.npy").shape(), (Shape{2, 3}));
  EXPECT_EQ(read_npy(kGoldens + "vector.npy").shape(), Shape{3});
  EXPECT_EQ(read_npy(kGoldens + "scalar.npy").shape().rank(), 0);
  EXPECT_EQ(read_npy(kGoldens + "empty.npy").shape(), (Shape{0, 3}));
}

TEST(Npy, ReadsEveryNumberInEveryOrder) {
  EXPECT_EQ(read_npy(kGoldens + "f2.npy").dtype(), DType::kF16);
  EXPECT_EQ(read_npy(kGoldens + "f2.npy").view().to_f32(),
            (std::vector<float>{-1, -0.5f, 0, 0.5f, 1, 1.5f}));
  EXPECT_EQ(values<float>(read_npy(kGoldens + "big_f4.npy")),
            (std::vector<float>{-2, -1, 0, 1, 2, 3}));
  EXPECT_EQ(values<int16_t>(read_npy(kGoldens + "big_i2.npy")),
            (std::vector<int16_t>{-2, -1, 0, 1, 2, 3}));
  EXPECT_EQ(values<int8_t>(read_npy(kGoldens + "i1.npy")),
            (std::vector<int8_t>{-2, -1, 0, 1, 2, 3}));
  EXPECT_EQ(values<int32_t>(read_npy(kGoldens + "u2.npy")),
            (std::vector<int32_t>{0, 1, 2, 3, 65535, 40000}));
  EXPECT_EQ(values<int64_t>(read_npy(kGoldens + "u4.npy")), (std::vector<int64_t>{0, 4294967295}));
  EXPECT_EQ(values<int64_t>(read_npy(kGoldens + "u8.npy")), (std::vector<int64_t>{7, INT64_MAX}));
  EXPECT_EQ(values<uint8_t>(read_npy(kGoldens + "b1.npy")), (std::vector<uint8_t>{1, 0, 1}));
  EXPECT_EQ(values<float>(read_npy(kGoldens + "fortran.npy")),
            (std::vector<float>{-2, -1, 0, 1, 2, 3}));
  std::vector<int64_t> count(24);
  std::iota(count.begin(), count.end(), 0);
  EXPECT_EQ(values<int64_t>(read_npy(kGoldens + "fortran_3d.npy")), count);
}

TEST(Npy, AnyNumberAsDouble) {
  for (const char* name : {"f4.npy", "f8.npy", "i4.npy", "i8.npy", "i1.npy", "big_i2.npy"})
    EXPECT_EQ(to_f64(read_npy(kGoldens + name)), (std::vector<double>{-2, -1, 0, 1, 2, 3})) << name;
  EXPECT_EQ(to_f64(read_npy(kGoldens + "f2.npy")), (std::vector<double>{-1, -0.5, 0, 0.5, 1, 1.5}));
  EXPECT_EQ(to_f64(read_npy(kGoldens + "b1.npy")), (std::vector<double>{1, 0, 1}));
}

TEST(Npy, WritesTheBytesThatNumPyWrites) {
  const TempFolder folder;
  for (const char* name :
       {"f4.npy", "f8.npy", "i4.npy", "i8.npy", "vector.npy", "scalar.npy", "empty.npy"}) {
    write_npy(folder / name, read_npy(kGoldens + name));
    EXPECT_EQ(read_bytes(folder / name), read_bytes(kGoldens + name)) << name;
  }
}

TEST(Npy, WidensBfloat16) {
  const TempFolder folder;
  const std::vector<uint16_t> halves = {f32_to_bf16(1.0f), f32_to_bf16(-0.375f)};
  EXPECT_EQ(write_npy(folder / "a", TensorView(halves.data(), DType::kBF16, {2})), DType::kF32);
  EXPECT_EQ(values<float>(read_npy(folder / "a")), (std::vector<float>{1.0f, -0.375f}));
}

TEST(Npy, WritesHalf) {
  const TempFolder folder;
  const std::vector<uint16_t> halves = {0x3c00};
  EXPECT_EQ(write_npy(folder / "a", TensorView(halves.data(), DType::kF16, {1})), DType::kF16);
  EXPECT_TRUE(says(read_bytes(folder / "a"), "'descr': '<f2'"));
  EXPECT_EQ(read_bytes(folder / "a").size(), 128u + 2);
}

std::string npy(const std::string& header, size_t data_bytes) {
  std::string file =
      std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size()) + '\0' + header;
  return file + std::string(data_bytes, '\0');
}

std::string parse_error(const std::string& bytes) {
  return error_of([&] { parse_npy(as_bytes(bytes), "x.npy"); });
}

TEST(Npy, NamesWhatIsWrong) {
  EXPECT_TRUE(says(error_of([] { read_npy(kGoldens + "complex.npy"); }), "complex.npy", "'<c8'",
                   "expected float16, float32"));
  EXPECT_TRUE(says(error_of([] { read_npy(kGoldens + "u8_large.npy"); }), "u8_large.npy",
                   "has a uint64 above 9223372036854775807"));
  EXPECT_TRUE(says(parse_error("hello, this is no array"), "x.npy",
                   "is text that begins with 'hello, this", "expected a .npy file"));
  EXPECT_TRUE(says(parse_error("\x01\x02\x03"), "x.npy: is not a .npy file"));
  EXPECT_TRUE(says(parse_error("PK\x03\x04 an .npz"), "x.npy: is a zip archive"));
  EXPECT_TRUE(says(parse_error(std::string("\x93NUMPY\x09\x00\x00\x00", 10)), ".npy version 9"));
  EXPECT_TRUE(says(parse_error(std::string("\x93NUMPY\x01\x00\xff\x00{", 11)),
                   "truncated in its .npy header of 255 bytes"));
  EXPECT_TRUE(says(parse_error(std::string("\x93NUMPY\x02\x00\xff\x00", 10)), "truncated"));
  const auto shape = [](const std::string& text) {
    return npy("{'descr': '<f4', 'fortran_order': False, 'shape': " + text + "}", 8);
  };
  EXPECT_EQ(parse_error(shape("(2,)")), "(no error)");
  EXPECT_TRUE(
      says(parse_error(shape("(3,)")), "8 bytes of data: expected [3] elements of 4 bytes"));
  EXPECT_TRUE(says(parse_error(shape("(1,)")), "8 bytes of data"));
  EXPECT_TRUE(says(parse_error(shape("(-2,)")), "expected a size"));
  EXPECT_TRUE(says(parse_error(shape("(99999999999999999999,)")), "63 bits"));
  EXPECT_TRUE(says(parse_error(shape("(4294967296, 4294967296)")),
                   "the number of elements exceeds 64 bits"));
  EXPECT_TRUE(says(parse_error(shape("(4611686018427387906,)")), "bytes of data: expected"));
  EXPECT_TRUE(says(parse_error(shape("(1, 1, 1, 1, 2)")), "too many axes: expected at most 4"));
  EXPECT_TRUE(
      says(parse_error(npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", 8)), "'|O'"));
  EXPECT_TRUE(says(parse_error(npy("{'descr': [('x', '<f4')], 'fortran_order': False}", 8)),
                   "elements of several fields"));
  EXPECT_TRUE(says(parse_error(npy("{'descr': '<f4', 'shape': (2,)}", 8)),
                   "missing one of descr, fortran_order, shape"));
  EXPECT_TRUE(says(parse_error(npy("{'descr': '<f4', 'descr': '<f4'}", 8)),
                   "duplicate or unknown entry 'descr'"));
  EXPECT_TRUE(says(parse_error(npy("{'run': 1}", 8)), "'run'"));
  EXPECT_TRUE(says(parse_error(npy("{'descr", 8)), "expected a closing quote"));
}

}  // namespace
}  // namespace vitrine
