// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <array>
#include <cstring>
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/quote.h"
#include "engine/checkpoint/files.h"
#include "engine/checkpoint/safe_pickle.h"
#include "engine/checkpoint/zip.h"

// pytorch_model.bin: what torch.save makes of a state_dict. Since torch 1.6 a zip archive of one
// pickle and one file a storage; before, one stream of pickles followed by the storages. Neither is
// executed: see engine/checkpoint/safe_pickle.h.

namespace vitrine::internal {
namespace {

using Kind = PickleValue::Kind;

// Where a storage's elements are: a byte offset into the file and a number of bytes.
using FindStorage = std::function<ZipEntry(const PickleValue& storage, const std::string& tensor)>;

std::vector<int64_t> integers(const PickleValue& sequence) {
  std::vector<int64_t> values;
  for (const PickleValue* item : sequence.items) values.push_back(item->integer);
  return values;
}

// How many elements of the storage the tensor reaches over, first to last. Nothing if that
// overflows or goes backwards.
std::optional<int64_t> reach(const Shape& shape, const std::vector<int64_t>& strides) {
  if (shape.elements() == 0) return 0;
  int64_t last = 0;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    int64_t step = 0;
    const int64_t stride = strides[static_cast<size_t>(axis)];
    if (stride < 0 || __builtin_mul_overflow(shape[axis] - 1, stride, &step) ||
        __builtin_add_overflow(last, step, &last)) {
      return std::nullopt;
    }
  }
  return last == std::numeric_limits<int64_t>::max() ? std::nullopt : std::optional(last + 1);
}

StoredTensor locate(const std::string& name, const PickleValue& value,
                    const std::shared_ptr<const MappedFile>& file,
                    const FindStorage& find_storage) {
  const std::string where = fmt::format("{}: tensor {}", file->path().string(), quote(name));
  const PickleValue& storage = *value.items[0];
  const std::vector<int64_t> sizes = integers(*value.items[1]);
  const std::vector<int64_t> strides = integers(*value.items[2]);
  StoredTensor tensor{file, value.dtype, {}, {}, 0, 0};
  try {
    tensor.shape = Shape(sizes);
  } catch (const Error& error) {
    user_error("{}: {}", where, error.what());
  }
  const auto elements = reach(tensor.shape, strides);
  if (!elements || value.integer < 0 || value.integer > storage.integer ||
      *elements > storage.integer - value.integer) {
    user_error("{}: shape {}, strides [{}] and offset {} exceed its storage of {} elements", where,
               tensor.shape.to_string(), fmt::join(strides, ", "), value.integer, storage.integer);
  }
  const size_t size = dtype_size(value.dtype);
  const ZipEntry place = find_storage(storage, where);
  // Compared by division: a count of elements from a file may overflow as bytes.
  if (place.size % size != 0 || place.size / size != static_cast<size_t>(storage.integer)) {
    user_error("{}: its storage is {} bytes, which does not match {} elements of {}", where,
               place.size, storage.integer, dtype_name(value.dtype));
  }
  std::copy(strides.begin(), strides.end(), tensor.strides.begin());
  tensor.offset = place.offset + static_cast<size_t>(value.integer) * size;
  tensor.span_bytes = static_cast<size_t>(*elements) * size;
  return tensor;
}

/// The value of a dictionary's text key; null if it has none.
const PickleValue* value_of(const PickleValue& dictionary, std::string_view name) {
  const PickleValue* found = nullptr;
  for (size_t i = 0; i + 1 < dictionary.items.size(); i += 2) {
    const PickleValue& key = *dictionary.items[i];
    if (key.kind == Kind::kText && key.text == name) found = dictionary.items[i + 1];
  }
  return found;
}

/// The dictionary of tensors: the file's own, or the one that a training program's checkpoint has
/// beside its other state.
const PickleValue& state_dict_of(const PickleValue& root) {
  if (root.kind != Kind::kDict) return root;
  for (const char* name : {"state_dict", "model_state_dict", "model", "module"}) {
    const PickleValue* inner = value_of(root, name);
    if (inner != nullptr && inner->kind == Kind::kDict) return *inner;
  }
  return root;
}

std::optional<ModelArguments> model_arguments(const PickleValue& root) {
  const PickleValue* given = root.kind == Kind::kDict ? value_of(root, "model_args") : nullptr;
  if (given == nullptr || given->kind != Kind::kDict) return std::nullopt;
  ModelArguments arguments;
  for (size_t i = 0; i + 1 < given->items.size(); i += 2) {
    const PickleValue &key = *given->items[i], &value = *given->items[i + 1];
    if (key.kind == Kind::kText && (value.kind == Kind::kInteger || value.kind == Kind::kBool))
      arguments[std::string(key.text)] = value.integer;
  }
  return arguments;
}

CheckpointFiles tensors_of(const PickleValue& file_root,
                           const std::shared_ptr<const MappedFile>& file,
                           const FindStorage& find_storage) {
  const std::string path = file->path().string();
  const PickleValue& root = state_dict_of(file_root);
  if (root.kind != Kind::kDict)
    user_error("{}: missing state_dict: expected a dictionary of tensors", path);
  CheckpointFiles result;
  result.model_arguments = model_arguments(file_root);
  std::set<std::string_view> keys;
  for (size_t i = 0; i + 1 < root.items.size(); i += 2) {
    const PickleValue& key = *root.items[i];
    const PickleValue& value = *root.items[i + 1];
    if (key.kind != Kind::kText)
      user_error("{}: invalid key in its state_dict: expected a string", path);
    if (!keys.insert(key.text).second) user_error("{}: duplicate tensor {}", path, quote(key.text));
    const std::string name(key.text);
    if (value.kind == Kind::kOtherTensor)
      result.other_types.emplace(name, value.text);
    else if (value.kind != Kind::kTensor)
      result.other.push_back(name);
    else
      result.tensors.emplace(name, locate(name, value, file, find_storage));
  }
  return result;
}

CheckpointFiles read_archive(const std::shared_ptr<const MappedFile>& file) {
  constexpr std::string_view kPickle = "data.pkl";
  const std::string path = file->path().string();
  const auto entries = read_zip_directory(file->bytes(), path);
  std::optional<std::string> folder;
  for (const auto& [name, entry] : entries) {
    if (name != kPickle && !name.ends_with("/data.pkl")) continue;
    if (folder)
      user_error("{}: duplicate data.pkl in the zip archive: expected a file written by torch.save",
                 path);
    folder = name.substr(0, name.size() - kPickle.size());
  }
  if (!folder)
    user_error("{}: missing data.pkl in the zip archive: expected a file written by torch.save",
               path);
  if (const auto order = entries.find(*folder + "byteorder"); order != entries.end()) {
    const std::string_view text(reinterpret_cast<const char*>(file->data()) + order->second.offset,
                                order->second.size);
    if (text != "little")
      user_error("{}: unsupported byte order {}: expected 'little'", path, quote(text));
  }
  const ZipEntry& pickled = entries.at(*folder + std::string(kPickle));
  const Pickle pickle(file->bytes().subspan(pickled.offset, pickled.size), path);
  return tensors_of(
      pickle.root(), file, [&](const PickleValue& storage, const std::string& tensor) {
        const auto entry = entries.find(fmt::format("{}data/{}", *folder, storage.text));
        if (entry == entries.end())
          user_error("{}: missing storage {} in the archive", tensor, quote(storage.text));
        return entry->second;
      });
}

// Pickles of the magic number 0x1950a86a20f9469cfc6c and of the version 1001, as torch.save wrote
// them before 1.6.
constexpr std::string_view kLegacyStart(
    "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.", 21);

void collect_storages(const PickleValue& root,
                      std::map<std::string_view, const PickleValue*>& storages) {
  // Each container once: a pickle may refer to one again and again.
  std::set<const PickleValue*> seen = {&root};
  std::vector<const PickleValue*> left = {&root};
  while (!left.empty()) {
    const PickleValue* value = left.back();
    left.pop_back();
    if (value->kind == Kind::kTensor) storages.emplace(value->items[0]->text, value->items[0]);
    if (value->kind != Kind::kDict && value->kind != Kind::kSequence) continue;
    for (const PickleValue* item : value->items) {
      if (seen.insert(item).second) left.push_back(item);
    }
  }
}

CheckpointFiles read_stream(const std::shared_ptr<const MappedFile>& file) {
  const std::string path = file->path().string();
  const std::span<const std::byte> bytes = file->bytes();
  if (!std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())
           .starts_with(kLegacyStart)) {
    user_error("{}: unknown pickle: expected a file written by torch.save", path);
  }
  size_t at = kLegacyStart.size();
  const Pickle machine(bytes.subspan(at), path);
  const auto& facts = machine.root().items;
  for (size_t i = 0; i + 1 < facts.size(); i += 2) {
    if (facts[i]->text == "little_endian" && facts[i + 1]->integer != 1)
      user_error("{}: unsupported byte order big-endian: expected little-endian", path);
  }
  at += machine.size();
  const Pickle state(bytes.subspan(at), path);
  at += state.size();
  const Pickle keys(bytes.subspan(at), path);
  at += keys.size();

  // After the pickles, in the order of the keys: each storage's number of elements (64 bits), then
  // its elements.
  std::map<std::string_view, const PickleValue*> storages;
  collect_storages(state.root(), storages);
  std::map<std::string_view, ZipEntry> places;
  for (const PickleValue* key : keys.root().items) {
    const auto storage = storages.find(key->text);
    if (storage == storages.end())
      user_error("{}: unexpected storage {}, which no tensor uses", path, quote(key->text));
    uint64_t count = 0;
    if (bytes.size() - at < sizeof(count))
      user_error("{}: truncated before storage {}", path, quote(key->text));
    std::memcpy(&count, bytes.data() + at, sizeof(count));
    at += sizeof(count);
    const size_t size = dtype_size(storage->second->dtype);
    if (count > (bytes.size() - at) / size)
      user_error("{}: truncated in storage {} of {} elements", path, quote(key->text), count);
    places[key->text] = {at, count * size};
    at += count * size;
  }
  return tensors_of(state.root(), file, [&](const PickleValue& storage, const std::string& tensor) {
    const auto place = places.find(storage.text);
    if (place == places.end())
      user_error("{}: missing storage {} in the file", tensor, quote(storage.text));
    return place->second;
  });
}

}  // namespace

CheckpointFiles read_torch_file(const std::filesystem::path& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  const bool zip = file->size() >= 2 && std::memcmp(file->data(), "PK", 2) == 0;
  return zip ? read_archive(file) : read_stream(file);
}

}  // namespace vitrine::internal
