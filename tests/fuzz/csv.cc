// SPDX-License-Identifier: MIT
#include "base/number_table.h"
#include "base/text_file.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return vitrine::fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    using namespace vitrine::internal;
    const std::string_view text =
        check_text({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "fuzz");
    (void)parse_csv(text, "fuzz");
    const NumberTable table(text, "fuzz", {.rows_are_variables = bytes.size() % 2 == 1});
    for (size_t row = 0; row < table.rows(); ++row) (void)table.number(row, 0);
  });
}
