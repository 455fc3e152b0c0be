// SPDX-License-Identifier: MIT
#include <array>

#include "cli/corpus/covariance_data.h"
#include "cli/predictivity/predictivity_files.h"
#include "tests/fuzz/fuzz.h"

// Any table of stimuli, of responses or of series: it is rejected, or as wide and long as it says.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine;
  return fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    constexpr std::array kNames = {"s.csv", "s.json", "s.jsonl", "r.csv",
                                   "r.npy", "n.txt",  "c.csv",   "w.csv"};
    const size_t way = fuzz::choose(bytes, kNames.size());
    const fuzz::Folder folder;
    const std::string path = folder.write(kNames[way], fuzz::text_of(bytes)).string();
    if (way <= 2) {
      const auto stimuli = cli::read_stimuli(path);
      fuzz::require(!stimuli.texts.empty() && stimuli.texts.size() == stimuli.groups.size());
    } else if (way <= 4) {
      (void)cli::read_responses(path, "", "");
    } else if (way == 5) {
      const std::string table = folder.write("r.csv", "a,b\n1,2\n3,4\n").string();
      (void)cli::read_responses(table, path, path);
    } else {
      const auto series =
          cli::read_series(path, way == 6 ? cli::SeriesOptions{}
                                          : cli::SeriesOptions{.fweights = "f", .aweights = "a"});
      fuzz::require(series.values.size() ==
                    series.names.size() * static_cast<size_t>(series.observations));
    }
  });
}
