// SPDX-License-Identifier: MIT
#include "bench/measure/row.h"

namespace vitrine::bench {
using namespace internal;

Json samples_json(const Samples& samples) {
  if (samples.empty()) return nullptr;
  return {{"median", samples.median()},
          {"min", samples.min()},
          {"max", samples.max()},
          {"count", samples.values.size()},
          {"samples", samples.values}};
}

Json Row::json() const {
  const bool measured = !seconds.empty();
  const auto or_null = [](bool there, auto value) { return there ? Json(value) : Json(nullptr); };
  Json json = {{"model", model},
               {"dtype", dtype},
               {"device", device},
               {"workload", workload},
               {"shape", shape}};
  json["threads"] = or_null(threads > 0, threads);
  json["hooks"] = or_null(!hooks.empty(), hooks);
  json["seconds"] = samples_json(seconds);
  json["noise"] = or_null(seconds.values.size() > 1, measured ? seconds.noise() : 0);
  json["recorded_seconds"] = samples_json(recorded);
  json["rate"] = or_null(measured, measured ? rate() : 0);
  json["unit"] = unit;
  json["floor_seconds"] = floor;
  json["share_of_floor"] = or_null(measured, measured ? share() : 0);
  json["ratio"] = samples_json(ratio);
  json["against"] = or_null(!against.empty(), against);
  json["loaded_seconds"] = samples_json(loaded);
  json["loaded_ratio"] = samples_json(loaded_ratio);
  json["captured_bytes"] = captured;
  json["peak_bytes"] = peak_bytes;
  json["device_bytes"] = or_null(device_bytes > 0, device_bytes);
  json["note"] = note;
  return json;
}

}  // namespace vitrine::bench
