// SPDX-License-Identifier: MIT
#include "analysis/corpus/moments_state.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/quote.h"
#include "base/xxhash64.h"
#include "vitrine/checkpoint/safetensors.h"

namespace vitrine::internal {
namespace {

constexpr const char* kStateFormat = "vitrine moments 1";
constexpr int64_t kMost = int64_t{1} << 56;
constexpr int64_t kMostVariables = int64_t{1} << 24;

using Tensors = std::vector<std::pair<std::string, TensorView>>;

/// The tensors of a state, and a digest of all their numbers.
std::string tensors_of(const CorpusMoments& moments, Tensors& tensors) {
  Xxh64 hash;
  for (const SiteMoments& site : moments.sites) {
    MomentsState::visit(site.moments, [&](const char* name, const std::vector<double>& values) {
      tensors.emplace_back(
          site.site + "." + name,
          TensorView(values.data(), DType::kF64, Shape{static_cast<int64_t>(values.size())}));
      hash.update(std::as_bytes(std::span(values)));
    });
  }
  return hex64(hash.digest());
}

double require_number(const JsonFields& fields, const char* name) {
  const auto value = fields.number(name);
  if (!value || !(*value >= 0) || std::isinf(*value))
    fields.refuse(name, "expected an integer >= 0");
  return *value;
}

SiteMoments site_from(const Json& json, const SafetensorsFile& tensors, const std::string& file) {
  const JsonFields fields(json, file);
  const auto name = fields.text("site");
  const Json* variables = fields.find("variables");
  if (!name) fields.refuse("site", "expected a name");
  if (!variables || !variables->is_array() || variables->empty() ||
      static_cast<int64_t>(variables->size()) > kMostVariables)
    fields.refuse("variables", "expected a list of names");
  const auto n = static_cast<int64_t>(variables->size());
  const bool variances = fields.boolean("variances_only").value_or(false);
  if (tensors.tensor(*name + ".products").elements() != (variances ? n : n * n))
    user_error("{}: the tensor {}.products does not match {} variables: expected a square matrix",
               file, *name, n);
  SiteMoments site{*name, {}, variances ? Moments::variances(n) : Moments(n, ~uint64_t{0})};
  for (const Json& variable : *variables) {
    if (!variable.is_string()) fields.refuse("variables", "expected a list of names");
    site.variables.push_back(variable.get<std::string>());
  }
  MomentsState::visit(site.moments, [&](const char* part, std::vector<double>& values) {
    const TensorView view = tensors.tensor(site.site + "." + part);
    if (view.dtype() != DType::kF64)
      user_error("{}: the tensor {}.{} is {}: expected f64", file, site.site, part,
                 dtype_name(view.dtype()));
    values.resize(static_cast<size_t>(view.elements()));
    if (!values.empty()) std::memcpy(values.data(), view.data(), view.bytes());
  });
  MomentsState::set_numbers(site.moments, json, file);
  return site;
}

}  // namespace

Json MomentsState::numbers(const Moments& moments) {
  Json json = {{"observations", moments.observations_},
               {"weight", moments.weight_},
               {"weight_a", moments.weight_a_}};
  if (moments.variances_only_) json["variances_only"] = true;
  return json;
}

MomentSums MomentsState::sums(const Moments& moments) {
  return {.observations = moments.observations_,
          .origin = moments.origin_,
          .mean = moments.mean_,
          .products = moments.products_,
          .pending = moments.rows_};
}

void MomentsState::set_sums(Moments& moments, MomentSums sums) {
  const size_t pending = sums.pending.size() / static_cast<size_t>(moments.variables_);
  moments.observations_ = sums.observations;
  moments.weight_ = moments.weight_a_ =
      static_cast<double>(sums.observations) - static_cast<double>(pending);
  moments.origin_ = std::move(sums.origin);
  moments.mean_ = std::move(sums.mean);
  moments.products_ = std::move(sums.products);
  moments.rows_ = std::move(sums.pending);
  moments.w_.assign(pending, 1.0);
  moments.wa_.assign(pending, 1.0);
}

void MomentsState::set_numbers(Moments& moments, const Json& json, const std::string& file) {
  const JsonFields fields(json, file);
  moments.observations_ = fields.require_integer("observations", 0, kMost);
  moments.weight_ = require_number(fields, "weight");
  moments.weight_a_ = require_number(fields, "weight_a");
  const auto n = static_cast<size_t>(moments.variables_);
  const bool fits = moments.mean_.size() == n &&
                    moments.products_.size() == (moments.variances_only_ ? n : n * n) &&
                    moments.rows_.size() == n * moments.w_.size() &&
                    moments.wa_.size() == moments.w_.size() &&
                    moments.origin_.size() == (moments.observations_ > 0 ? n : 0);
  if (!fits)
    user_error("{}: damaged: the tensors of a site do not match its {} variables", file, n);
}

bool same_sums(const CorpusMoments& a, const CorpusMoments& b) {
  const auto same = [](const SiteMoments& x, const SiteMoments& y) {
    return x.site == y.site && x.variables == y.variables &&
           MomentsState::numbers(x.moments) == MomentsState::numbers(y.moments);
  };
  Tensors ignored;
  return std::equal(a.sites.begin(), a.sites.end(), b.sites.begin(), b.sites.end(), same) &&
         tensors_of(a, ignored) == tensors_of(b, ignored);
}

MomentsState read_moments_state(const std::filesystem::path& path) {
  const std::string file = path.string();
  const SafetensorsFile tensors(path);
  const auto found = tensors.metadata().find("vitrine moments");
  if (found == tensors.metadata().end())
    user_error(
        "{}: is not the state of a covariance run: expected a file of vitrine covariance --state",
        file);
  const Json json = parse_json(found->second, file);
  const JsonFields fields(json, file);
  if (fields.text("format") != kStateFormat)
    fields.refuse("format", fmt::format("expected '{}'", kStateFormat));
  MomentsState state;
  CorpusMoments& moments = state.moments;
  const Json *parts = fields.find("parts"), *sites = fields.find("sites"),
             *position = fields.find("position");
  if (!parts || !parts->is_array() || parts->empty())
    fields.refuse("parts", "expected a list of runs");
  for (const Json& part : *parts) {
    const JsonFields identity(part, file);
    const int64_t world = identity.require_integer("world", 1, kMost);
    identity.require_integer("rank", 0, world - 1);
    if (!identity.has("corpus")) identity.refuse("corpus", "expected an object");
  }
  if (!sites || !sites->is_array() || sites->empty())
    fields.refuse("sites", "expected a list of at least one site");
  if (!position) fields.refuse("position", "expected an object");
  moments.parts = parts->dump();
  moments.complete = fields.boolean("complete").value_or(false);
  moments.windows = fields.require_integer("windows", 0, kMost);
  moments.documents = fields.require_integer("documents", 0, kMost);
  moments.tokens = fields.require_integer("tokens", 0, kMost);
  moments.skipped = fields.require_integer("skipped", 0, kMost);
  std::set<std::string>
      names;  // of which each has tensors of its own, so that none is copied twice
  for (const Json& site : *sites) {
    moments.sites.push_back(site_from(site, tensors, file));
    if (const std::string& name = moments.sites.back().site; !names.insert(name).second)
      user_error("{}: duplicate site {}", file, quote(name));
  }
  state.position = position_from(*position, file);
  Tensors all;
  if (fields.text("xxh64") != tensors_of(moments, all))
    user_error("{}: damaged: its values do not match their checksum", file);
  return state;
}

void write_moments_state(const MomentsState& state, const std::filesystem::path& path) {
  const CorpusMoments& moments = state.moments;
  Tensors tensors;
  Json json = {{"format", kStateFormat},
               {"parts", Json::parse(moments.parts)},
               {"position", position_json(state.position)},
               {"complete", moments.complete},
               {"windows", moments.windows},
               {"documents", moments.documents},
               {"tokens", moments.tokens},
               {"skipped", moments.skipped},
               {"sites", Json::array()},
               {"xxh64", tensors_of(moments, tensors)}};
  for (const SiteMoments& site : moments.sites) {
    Json entry = MomentsState::numbers(site.moments);
    entry["site"] = site.site;
    entry["variables"] = site.variables;
    json["sites"].push_back(std::move(entry));
  }
  SafetensorsWriter::write(path, tensors, {{"vitrine moments", json.dump()}});
}

}  // namespace vitrine::internal
