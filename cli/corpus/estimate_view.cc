// SPDX-License-Identifier: MIT
#include "cli/corpus/estimate_view.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/quote.h"
#include "cli/core/corpus_args.h"
#include "cli/core/progress_bar.h"

namespace vitrine::cli {
using namespace internal;
namespace {

std::string bytes_shown(uint64_t bytes) { return human_bytes(static_cast<double>(bytes)); }

std::string seconds_text(double seconds) {
  return seconds < 0.5 ? "less than 1 s" : duration(seconds);
}

std::string sites_text(const Terminal& out, const CorpusEstimate& e) {
  size_t width = 0;
  for (const auto& site : e.sites) width = std::max(width, site.name.size());
  std::string text;
  for (const auto& site : e.sites)
    text += fmt::format("{}  {}  {} rows of [{}], {}\n", left(site.name, width),
                        out.paint(Style::kDim, left(dtype_name(site.dtype), 4)),
                        thousands(site.rows), fmt::join(site.shape, ", "), bytes_shown(site.bytes));
  return text;
}

std::string warnings_text(const Terminal& out, const CorpusEstimate& e, bool skip_bad) {
  std::string text;
  const auto warn = [&](const std::string& line) { text += out.paint(Style::kBad, line) + "\n"; };
  if (e.bad_documents > 0)
    warn(fmt::format("{} bad {} among those that were read{}; the first: {}",
                     thousands(e.bad_documents), e.bad_documents == 1 ? "document" : "documents",
                     skip_bad ? "" : ", where the capture stops without --skip-bad", e.first_bad));
  if (e.exceeds_disk())
    warn(
        fmt::format("the disk has {} free: expected {}; store fewer sites or positions, or "
                    "--store f16",
                    bytes_shown(e.free_bytes), bytes_shown(e.bytes)));
  if (e.recomputing_is_faster())
    warn(
        fmt::format("computing again takes {}, less than reading back at {} ({}): train from the "
                    "running engine (vitrine.shards.live), or store fewer sites",
                    seconds_text(e.compute_seconds), human_bytes(e.disk_rate) + "/s",
                    seconds_text(e.read_seconds)));
  return text;
}

}  // namespace

JsonValue estimate_json(const CorpusEstimate& e, const Rank& rank, const std::string& path) {
  JsonValue json = {
      {"path", path},
      {"rank", rank_json(rank)},
      {"counted", e.counted},
      {"sampled_documents", e.sampled_documents},
      {"bad_documents", e.bad_documents},
      {"first_bad", e.first_bad.empty() ? JsonValue(nullptr) : JsonValue(e.first_bad)},
      {"documents", e.documents},
      {"windows", e.windows},
      {"tokens", e.tokens},
      {"bytes", e.bytes},
      {"sites", JsonValue::array()},
      {"rank_tokens", e.rank_tokens},
      {"rank_bytes", e.rank_bytes},
      {"shards", e.shards},
      {"shard_tokens", e.shard_tokens},
      {"buffer_bytes", e.buffer_bytes},
      {"tokens_per_second", e.tokens_per_second},
      {"compute_seconds", e.compute_seconds},
      {"write_seconds", e.write_seconds},
      {"seconds", e.seconds},
      {"read_seconds", e.read_seconds},
      {"disk_rate", e.disk_rate},
      {"free_bytes", e.free_bytes},
      {"exceeds_disk", e.exceeds_disk()},
      {"recomputing_is_faster", e.recomputing_is_faster()}};
  for (const auto& site : e.sites)
    json["sites"].push_back({{"name", site.name},
                             {"dtype", dtype_name(site.dtype)},
                             {"shape", site.shape},
                             {"rows", site.rows},
                             {"bytes", site.bytes}});
  return json;
}

std::string estimate_text(const Terminal& out, const CorpusEstimate& e, const Rank& rank,
                          const std::string& path, bool skip_bad) {
  std::string text = sites_text(out, e);
  text += out.paint(Style::kTitle, path) +
          fmt::format(": {}{} of {} documents, {} windows, {} tokens{}; nothing was written\n",
                      e.counted ? "" : "about ", bytes_shown(e.bytes), thousands(e.documents),
                      thousands(e.windows), thousands(e.tokens),
                      e.counted ? ""
                                : fmt::format(", from a sample of {} documents",
                                              thousands(e.sampled_documents)));
  text += rank_text(rank);
  text += fmt::format("{} in {} {} of up to {} tokens; two shards in memory take at most {}\n",
                      bytes_shown(e.rank_bytes), thousands(e.shards),
                      e.shards == 1 ? "shard" : "shards", thousands(e.shard_tokens),
                      bytes_shown(e.buffer_bytes));
  text += fmt::format("{:.0f} tokens/s, {}: computing takes {}, writing meanwhile {} at {}/s\n",
                      e.tokens_per_second, seconds_text(e.seconds), seconds_text(e.compute_seconds),
                      seconds_text(e.write_seconds), human_bytes(e.disk_rate));
  return text + warnings_text(out, e, skip_bad);
}

}  // namespace vitrine::cli
