// SPDX-License-Identifier: MIT
#include "engine/checkpoint/find.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/dangling_link.h"
#include "base/mapped_file.h"
#include "base/quote.h"
#include "base/text_file.h"
#include "engine/checkpoint/adapter.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/files.h"
#include "engine/checkpoint/gguf.h"
#include "engine/checkpoint/tensorflow.h"
#include "engine/checkpoint/tensorflow_table.h"

namespace vitrine::internal {
namespace {

namespace fs = std::filesystem;
using namespace std::string_view_literals;

std::string_view view_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.data()), file.size()};
}

/// Models of other programs by their first bytes, as far as these tell.
std::optional<const char*> other_model(std::string_view bytes) {
  if (bytes.size() > 2 && bytes[0] == '\x08' && bytes[1] > 0 && bytes[1] < 32 && bytes[2] == '\x12')
    return "an ONNX model";
  // A MessagePack map whose first key is a text.
  const bool map = !bytes.empty() && (bytes[0] & 0xf0) == 0x80;
  if (bytes.size() > 2 && map && (bytes[1] & 0xe0) == 0xa0)
    return "a Flax checkpoint (MessagePack)";
  if (bytes.size() > 8 && bytes.substr(4, 4) == "TFL3"sv) return "a TensorFlow Lite model";
  return std::nullopt;
}

constexpr const char* kWayOut =
    "use the model's safetensors, or save it with transformers (save_pretrained)";

/// llm.c's and GGUF files say all in one file of any name.
bool is_whole_model(const fs::path& file) {
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored) || fs::file_size(file, ignored) < sizeof(kLlmcMagic))
    return false;
  const MappedFile mapped(file);
  return view_of(mapped).starts_with(kGgufMagic) ||
         std::memcmp(mapped.data(), &kLlmcMagic, sizeof(kLlmcMagic)) == 0;
}

/// By the end of the name: of files beside which no checkpoint of ours is.
constexpr std::array<std::pair<std::string_view, const char*>, 12> kOtherNames = {
    {{".h5", "a Keras checkpoint"},
     {".msgpack", "a Flax checkpoint"},
     {".onnx", "an ONNX model"},
     {".tflite", "a TensorFlow Lite model"},
     {".mlmodel", "a Core ML model"},
     {".mlpackage", "a Core ML model"},
     {".ot", "a checkpoint of Rust's rust_model.ot"},
     {".npz", "NumPy arrays"},
     {".distcp",
      "part of a distributed checkpoint, of which torch.distributed.checkpoint.format_utils "
      "(dcp_to_torch) makes one file"},
     {".ckpt.index", "a TensorFlow checkpoint"},
     {".ckpt.meta", "a TensorFlow checkpoint"},
     {"saved_model.pb", "a TensorFlow SavedModel"}}};

std::optional<const char*> other_name(const fs::path& path) {
  for (const auto& [ending, what] : kOtherNames) {
    if (path.filename().string().ends_with(ending)) return what;
  }
  return std::nullopt;
}

/// What transformers, training programs and people call single files of weights.
bool may_hold_weights(const fs::path& path) {
  constexpr std::array<std::string_view, 5> kEndings = {".safetensors", ".bin", ".pt", ".pth",
                                                        ".ckpt"};
  const std::string name = path.filename().string();
  return std::any_of(kEndings.begin(), kEndings.end(),
                     [&](std::string_view ending) { return name.ends_with(ending); }) &&
         name != "training_args.bin" && name != "optimizer.pt" && name != "scheduler.pt" &&
         !name.starts_with("adapter_model.");
}

/// A part of a file that huggingface_hub has not finished, for the folder of a snapshot or of
/// local_dir.
std::optional<fs::path> unfinished_download(const fs::path& folder) {
  std::error_code ignored;
  for (const fs::path& place :
       {folder / ".." / ".." / "blobs", folder / ".cache" / "huggingface" / "download"}) {
    for (const auto& entry : fs::directory_iterator(place, ignored)) {
      if (entry.path().extension() == ".incomplete") return entry.path().lexically_normal();
    }
  }
  return std::nullopt;
}

std::vector<fs::path> sorted_entries(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) entries.push_back(entry.path());
  std::sort(entries.begin(), entries.end());
  return entries;
}

template <typename Test>
std::vector<std::string> names_of(const std::vector<fs::path>& entries, const Test& test) {
  std::vector<std::string> names;
  for (const fs::path& entry : entries) {
    if (test(entry)) names.push_back(entry.filename().string());
  }
  return names;
}

/// Of a folder without any of kCheckpointFiles.
fs::path find_otherwise(const fs::path& folder) {
  const std::string where = folder.string();
  const std::vector<fs::path> entries = sorted_entries(folder);
  for (const fs::path& entry : entries) {
    if (may_hold_weights(entry) || entry.filename().string().ends_with(".index.json"))
      refuse_dangling_link(entry);
  }
  std::error_code ignored;
  if (is_adapter(folder)) {
    const std::string base = base_of_adapter(folder);
    user_error(
        "{}: is an adapter (PEFT) of {}, not a model: load that model with this folder as "
        "`adapter`",
        where, base.empty() ? "a model that it does not name" : "the model " + quote(base));
  }
  auto whole = names_of(entries, is_whole_model);
  if (whole.empty() && fs::exists(folder / kHparamsFile, ignored))
    whole = names_of(entries, [](const fs::path& entry) { return entry.extension() == ".index"; });
  if (whole.size() == 1) return folder / whole.front();
  if (whole.size() > 1)
    user_error("{}: holds several models: {}: expected one; name the file", where,
               fmt::join(whole, ", "));
  const auto runs = names_of(entries, [&](const fs::path& entry) {
    return entry.filename().string().starts_with("checkpoint-") && fs::is_directory(entry, ignored);
  });
  if (!runs.empty())
    user_error("{}: holds checkpoints of a training: {}: expected a model; name one of them", where,
               fmt::join(runs, ", "));
  const auto named = names_of(entries, [&](const fs::path& entry) {
    return may_hold_weights(entry) && fs::is_regular_file(entry, ignored);
  });
  if (!named.empty())
    user_error(
        "{}: no checkpoint found: expected one of {}; it has {}: if that is the model, name the "
        "file",
        where, fmt::join(kCheckpointFiles, ", "), fmt::join(named, ", "));
  for (const fs::path& entry : entries) {
    if (const auto other = other_name(entry))
      user_error("{}: is {}: expected one of {}; {}", entry.string(), *other,
                 fmt::join(kCheckpointFiles, ", "), kWayOut);
  }
  if (const auto part = unfinished_download(folder))
    user_error("{}: no checkpoint found, and {} is part of an unfinished download: finish it",
               where, part->string());
  user_error("{}: no checkpoint found: expected one of {}", where,
             fmt::join(kCheckpointFiles, ", "));
}

}  // namespace

Format checkpoint_format(const fs::path& path) {
  const MappedFile file(path);
  const std::string_view bytes = view_of(file);
  if (file.size() >= sizeof(kLlmcMagic) &&
      std::memcmp(file.data(), &kLlmcMagic, sizeof(kLlmcMagic)) == 0)
    return Format::kLlmc;
  if (bytes.starts_with(kGgufMagic)) return Format::kGguf;
  if (is_table_file(bytes)) return Format::kTensorflow;
  if (bytes.starts_with("PK") || bytes.starts_with("\x80\x02")) return Format::kTorch;
  constexpr size_t kHeader = 8;  // of safetensors, after its length
  if (bytes.size() > kHeader && bytes[kHeader] == '{') return Format::kSafetensors;
  auto other = other_model(bytes);
  const bool pointer = bytes.starts_with("version https://git-lfs");
  if (!other && !pointer) other = other_name(path);
  if (other)
    user_error("{}: is {}: expected safetensors, GGUF, or a file of torch.save or llm.c's; {}",
               path.string(), *other, kWayOut);
  refuse_other_format(bytes, path.string(), "a checkpoint");
  return Format::kSafetensors;
}

fs::path find_checkpoint(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return path;
  for (const char* name : kCheckpointFiles) {
    if (fs::exists(path / name, ignored)) return path / name;
  }
  return find_otherwise(path);
}

}  // namespace vitrine::internal
