// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <string>

#include "base/csv.h"
#include "base/json.h"
#include "base/npy.h"
#include "base/safetensors_header.h"
#include "tests/base/mutate.h"
#include "tests/base/test_files.h"

namespace vitrine {
using namespace internal;
namespace {

using testing::as_bytes;
using testing::read_bytes;
using testing::survives_mutations;

TEST(Mutations, SafetensorsHeader) {
  const std::string file =
      read_bytes(VITRINE_SOURCE_DIR "/tests/engine/checkpoints/mixed/model.safetensors");
  survives_mutations(file, 5000, [](const std::string& bytes) {
    const SafetensorsHeader header = parse_safetensors_header(as_bytes(bytes), "m");
    size_t end = header.entries.empty() ? bytes.size() : header.entries.front().begin;
    for (const SafetensorsEntry& entry : header.entries) {
      EXPECT_EQ(entry.begin, end);
      EXPECT_EQ(entry.end - entry.begin,
                static_cast<size_t>(entry.shape.elements()) * dtype_size(entry.dtype));
      end = entry.end;
    }
    EXPECT_EQ(end, bytes.size());
  });
}

TEST(Mutations, SmallSafetensorsHeader) {
  const std::string header =
      R"({"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"v":{"dtype":"U8","shape":[],"data_offsets":[24,25]}})";
  std::string file(8, '\0');
  file[0] = static_cast<char>(header.size());
  survives_mutations(file + header + std::string(25, 'x'), 20000, [](const std::string& bytes) {
    parse_safetensors_header(as_bytes(bytes), "m");
  });
}

TEST(Mutations, Json) {
  survives_mutations(R"({"a": [1, 2.5e3, -7], "b": {"c": "text\n\u00e9", "d": null}, "e": true})",
                     20000, [](const std::string& text) { parse_json(text, "j"); });
}

TEST(Mutations, Csv) {
  survives_mutations("text,group\r\n\"A, \"\"b\"\"\nc\",1\n\nd,\n", 20000,
                     [](const std::string& text) {
                       const auto rows = parse_csv(text, "c");
                       for (const CsvRow& row : rows)
                         EXPECT_EQ(row.fields.size(), rows[0].fields.size());
                     });
}

TEST(Mutations, Npy) {
  survives_mutations(read_bytes(VITRINE_SOURCE_DIR "/tests/base/npy/f4.npy"), 20000,
                     [](const std::string& bytes) { parse_npy(as_bytes(bytes), "n"); });
}

}  // namespace
}  // namespace vitrine
