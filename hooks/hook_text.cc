// SPDX-License-Identifier: MIT
#include "vitrine/hook_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/finite.h"
#include "base/npy.h"
#include "base/quote.h"
#include "vitrine/checkpoint/safetensors.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr int64_t kMostIndices = 1 << 20;

template <typename T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Appends one index or a range: A..B, A.. to the end, ..B from the start.
template <typename T>
void append_indices(Indices<T>& to, std::string_view item, std::string_view whole) {
  const size_t dots = item.find("..");
  const bool range = dots != std::string_view::npos;
  const std::string_view head = item.substr(0, dots),
                         tail = range ? item.substr(dots + 2) : std::string_view();
  const auto first = range && head.empty() ? std::optional<T>(0) : number<T>(head);
  const auto last = !range ? first : tail.empty() ? std::optional<T>(-1) : number<T>(tail);
  if (!first || !last || item == "..") {
    user_error("{}: invalid index {}: expected an integer or a range such as 0..3, 1.. or 1..-1",
               quote(whole), quote(item));
  }
  if (!range) return to.add(*first);
  if ((*first < 0) ==
      (*last < 0)) {  // Wide enough for any two integers, and for one past the last.
    const auto count = static_cast<__int128>(*last) - *first + 1;
    if (count < 1 || count > kMostIndices) {
      user_error("{}: invalid range {}: expected an ascending range of at most {} numbers",
                 quote(whole), quote(item), kMostIndices);
    }
  }
  if (to.ranges().size() >= static_cast<size_t>(kMostIndices))
    user_error("{}: too many indices: expected at most {} in a list", quote(whole), kMostIndices);
  to.add_range(*first, *last);
}

/// Calls `each` with the items of a list.
template <typename Each>
void for_items(std::string_view text, Each each) {
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(", "), text.size());
    if (end > 0) each(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

void set_tokens(Where& where, std::string_view item, std::string_view whole) {
  if (item != "prompt" && item != "generated")
    user_error("{}: unknown tokens {}: expected prompt or generated", quote(whole), quote(item));
  where.tokens = item == "prompt" ? Where::Tokens::kPrompt : Where::Tokens::kGenerated;
}

void append_index(Where& where, std::string_view key, std::string_view item,
                  std::string_view whole) {
  if (key == "layers") return append_indices(where.layers, item, whole);
  if (key == "positions") return append_indices(where.positions, item, whole);
  if (key == "heads") return append_indices(where.heads, item, whole);
  if (key == "neurons") return append_indices(where.neurons, item, whole);
  if (key == "sequences") return append_indices(where.sequences, item, whole);
  if (key == "tokens") return set_tokens(where, item, whole);
  user_error(
      "{}: unknown selection {}: expected layers, positions, heads, neurons, sequences or tokens",
      quote(whole), quote(key));
}

/// "heads=3,5 positions=-1": an item without '=' belongs to the name before it.
Where parse_narrowing(std::string_view text, std::string_view whole) {
  Where where;
  std::string_view key;
  for_items(text, [&](std::string_view item) {
    if (const size_t equals = item.find('='); equals != std::string_view::npos) {
      key = item.substr(0, equals);
      item.remove_prefix(equals + 1);
    }
    if (key.empty())
      user_error("{}: missing name for {}: expected NAME=LIST, such as heads=3", quote(whole),
                 quote(item));
    append_index(where, key, item, whole);
  });
  return where;
}

float finite(std::string_view text, std::string_view whole) {
  const auto value = number<float>(text);
  if (!value || !std::isfinite(*value))
    user_error("{}: invalid number {}", quote(whole), quote(text));
  return *value;
}

Tensor as_f32(const TensorView& view, const std::string& name) {
  if (is_floating(view.dtype())) return Tensor::from(view.to_f32(), view.shape());
  std::vector<float> values;
  for (const double value : to_f64(view)) {
    if (std::isfinite(value) && std::abs(value) > double{std::numeric_limits<float>::max()})
      user_error("{}: value {} of element {} exceeds float32: expected at most {} in magnitude",
                 name, value, values.size(), std::numeric_limits<float>::max());
    values.push_back(static_cast<float>(value));
  }
  return Tensor::from(values, view.shape());
}

/// Throws Error (user) for an element of a file's tensor that is not finite.
void check_numbers(const Tensor& tensor, std::string_view name) {
  const auto bad = first_non_finite(tensor.data(), DType::kF32, tensor.elements());
  if (bad) {
    user_error("{}: element {} is {}: expected finite float32 numbers", quote(name), *bad,
               tensor.f32()[static_cast<size_t>(*bad)]);
  }
}

/// "[1,0.5,-2]"
Tensor listed(std::string_view text, std::string_view whole) {
  std::vector<float> values;
  text = text.substr(1, text.size() - 2);
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    std::string_view item = text.substr(begin, end - begin);
    item.remove_prefix(std::min(item.find_first_not_of(' '), item.size()));
    values.push_back(finite(item, whole));
    begin = end + 1;
  }
  return Tensor::from(values);
}

/// A number, a list, or a file's tensor, times what follows a '*'.
Tensor operand(std::string_view text, std::string_view whole, std::string_view site) {
  if (const auto value = number<float>(text); value && std::isfinite(*value))
    return Tensor::from({&*value, 1});
  if (text.starts_with('[') && text.ends_with(']')) return listed(text, whole);
  const size_t star = text.rfind('*');
  const float factor = star == std::string_view::npos ? 1.0f : finite(text.substr(star + 1), whole);
  Tensor tensor = read_tensor(text.substr(0, star), site);
  for (float& x : tensor.f32()) x *= factor;
  check_numbers(tensor, text);
  return tensor;
}

/// `site`: whose tensor is read from a file of several.
Edit parse_change(std::string_view text, std::string_view whole, std::string_view site) {
  const size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  const std::string_view value =
      colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  if (name == "zero" && colon == std::string_view::npos) return zero();
  const bool known = name == "scale" || name == "add" || name == "set" || name == "project";
  if (!known)
    user_error("{}: unknown change {}: expected zero, scale:X, add:X, set:X or project:FILE",
               quote(whole), quote(name));
  if (value.empty()) user_error("{}: missing value of {}: expected {}:X", quote(whole), name, name);
  if (name == "scale") return scale(finite(value, whole));
  if (name == "add") return add(operand(value, whole, site));
  if (name == "set") return replace(operand(value, whole, site));
  return project_out(operand(value, whole, site));
}

}  // namespace

namespace {

Tensor read_any(std::string_view path, std::string_view site) {
  const size_t hash = path.rfind('#');
  const std::string file(path.substr(0, hash));
  if (file.ends_with(".npy")) return as_f32(read_npy(file), file);
  if (!file.ends_with(".safetensors"))
    user_error("invalid value {}: expected a number, a .npy file or a .safetensors file",
               quote(path));
  const SafetensorsFile tensors{std::filesystem::path(file)};
  if (hash != std::string_view::npos)
    return as_f32(tensors.tensor(path.substr(hash + 1)), std::string(path));
  if (!site.empty() && std::ranges::find(tensors.names(), site) != tensors.names().end())
    return as_f32(tensors.tensor(site), file);
  if (tensors.names().size() != 1)
    user_error("{}: contains {} tensors: expected one; select it with {}#NAME", file,
               tensors.names().size(), file);
  return as_f32(tensors.tensor(tensors.names()[0]), file);
}

}  // namespace

Tensor read_tensor(std::string_view path, std::string_view site) {
  Tensor tensor = read_any(path, site);
  check_numbers(tensor, path);
  return tensor;
}

SiteArg parse_site(std::string_view text) {
  const size_t open = text.find('[');
  if (open == std::string_view::npos) {
    if (text.empty())
      user_error("a site is empty: expected a name such as blocks.0.hook_resid_post");
    return {std::string(text), {}};
  }
  if (text.back() != ']') user_error("{}: missing ']' at the end", quote(text));
  return {std::string(text.substr(0, open)),
          parse_narrowing(text.substr(open + 1, text.size() - open - 2), text)};
}

template <typename T>
Indices<T> parse_indices(std::string_view option, std::string_view list) {
  Indices<T> found;
  const std::string whole = fmt::format("{} {}", option, list);
  for_items(list, [&](std::string_view item) { append_indices(found, item, whole); });
  if (!list.empty() && found.ranges().empty())
    user_error("{}: expected an integer or a range such as 0..3, 1.. or 1..-1", quote(whole));
  return found;
}
template Indices<int> parse_indices(std::string_view option, std::string_view list);
template Indices<int64_t> parse_indices(std::string_view option, std::string_view list);

EditText split_edit(std::string_view text) {
  // The first '=' that is outside of the selection.
  const size_t open = text.find('['), first = text.find('=');
  const size_t close = open < first ? text.find(']', open) : std::string_view::npos;
  const size_t equals = text.find('=', close == std::string_view::npos ? 0 : close);
  if (equals == std::string_view::npos) {
    user_error(
        "invalid edit {}: expected SITE=zero, SITE=scale:X, SITE=add:X, SITE=set:X or "
        "SITE=project:FILE",
        quote(text));
  }
  return {std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
}

Hooks::Change parse_edit(std::string_view text) {
  const EditText parts = split_edit(text);
  SiteArg site = parse_site(parts.site);
  Edit change = parse_change(parts.change, text, site.pattern);
  return {std::move(site.pattern), std::move(change), std::move(site.where)};
}

std::string change_with_numbers(std::string_view change, std::string_view site) {
  const size_t colon = change.find(':');
  if (colon == std::string_view::npos || change.starts_with("scale:")) return std::string(change);
  const std::string pattern = parse_site(site).pattern;
  const Tensor tensor = operand(change.substr(colon + 1), change, pattern);
  const std::span<const float> values = tensor.f32();
  const std::string numbers = fmt::format("{}", fmt::join(values, ","));
  const std::string name(change.substr(0, colon + 1));
  return name + (values.size() == 1 ? numbers : "[" + numbers + "]");
}

}  // namespace vitrine
