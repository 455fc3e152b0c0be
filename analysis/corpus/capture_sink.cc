// SPDX-License-Identifier: MIT
#include "analysis/corpus/capture_sink.h"

#include <algorithm>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/atomic_file.h"
#include "base/atomic_folder.h"
#include "base/check.h"
#include "base/json.h"
#include "base/npy.h"
#include "vitrine/checkpoint/safetensors.h"

namespace vitrine {
using namespace internal;
namespace {

namespace fs = std::filesystem;

class SafetensorsSink : public CaptureSink {
 public:
  SafetensorsSink(const fs::path& path, const std::vector<SinkTensor>& tensors,
                  const std::map<std::string, std::string>& metadata)
      : writer_(path, declare(tensors), metadata) {}
  void put(size_t tensor, uint64_t offset, std::span<const std::byte> bytes) override {
    writer_.put(tensor, offset, bytes);
  }
  void finish() override { writer_.finish(); }

 private:
  static std::vector<SafetensorsWriter::Declaration> declare(
      const std::vector<SinkTensor>& tensors) {
    std::vector<SafetensorsWriter::Declaration> declared;
    for (const SinkTensor& tensor : tensors)
      declared.push_back({tensor.name, tensor.dtype, tensor.shape});
    return declared;
  }
  SafetensorsWriter writer_;
};

size_t tensor_bytes(const SinkTensor& tensor) {
  return static_cast<size_t>(tensor.shape.elements()) * dtype_size(tensor.dtype);
}

/// A .npy file whose elements come in any order.
class NpyStream {
 public:
  NpyStream(const fs::path& path, const SinkTensor& tensor)
      : NpyStream(path, npy_header(tensor.dtype, tensor.shape), tensor_bytes(tensor)) {}
  void put(uint64_t offset, std::span<const std::byte> bytes) {
    file_.write_at(header_bytes_ + offset, bytes);
  }
  void finish() { file_.commit(); }

 private:
  NpyStream(const fs::path& path, const std::string& header, size_t bytes)
      : file_(path, header.size() + bytes), header_bytes_(header.size()) {
    file_.append(header);
  }
  AtomicFile file_;
  uint64_t header_bytes_;
};

Json describe(const SinkTensor& tensor) {
  return {{"dtype", dtype_name(tensor.dtype)},
          {"shape",
           Json(std::vector<int64_t>(tensor.shape.sizes().begin(), tensor.shape.sizes().end()))}};
}

/// One site in PATH, the rest as numbers in PATH.json.
class NpySink : public CaptureSink {
 public:
  NpySink(const fs::path& path, const std::vector<SinkTensor>& tensors,
          const std::map<std::string, std::string>& metadata)
      : path_(path), tensors_(tensors), small_(tensors.size()), metadata_(metadata) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (!tensors[i].is_site)
        small_[i].resize(tensor_bytes(tensors[i]));
      else if (!stream_)
        stream_ = std::make_unique<NpyStream>(path, tensors[i]);
      else
        user_error(
            "{}: a .npy file holds one tensor, but '{}' follows '{}'; use a folder or a "
            ".safetensors file",
            path.string(), tensors[i].name, site_name_);
      if (tensors[i].is_site) site_name_ = tensors[i].name;
    }
  }
  void put(size_t tensor, uint64_t offset, std::span<const std::byte> bytes) override {
    if (tensors_[tensor].is_site) return stream_->put(offset, bytes);
    std::copy(bytes.begin(), bytes.end(),
              small_[tensor].begin() + static_cast<std::ptrdiff_t>(offset));
  }
  void finish() override {
    Json index = {{"format", "vitrine-captures-1"}, {"metadata", metadata_}, {"site", site_name_}};
    for (size_t i = 0; i < tensors_.size(); ++i) {
      if (tensors_[i].is_site)
        index["tensor"] = describe(tensors_[i]);
      else
        index[tensors_[i].name] = numbers(tensors_[i].dtype, small_[i]);
    }
    // The index first: where there is a .npy, there is its index.
    write_file(path_.string() + ".json", index.dump() + "\n");
    stream_->finish();
  }

 private:
  static Json numbers(DType dtype, const std::vector<std::byte>& bytes) {
    if (dtype == DType::kI32) return copy_of<int32_t>(bytes);
    return copy_of<int64_t>(bytes);
  }
  template <typename T>
  static std::vector<T> copy_of(const std::vector<std::byte>& bytes) {
    std::vector<T> values(bytes.size() / sizeof(T));
    if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }

  fs::path path_;
  std::vector<SinkTensor> tensors_;
  std::vector<std::vector<std::byte>> small_;
  std::map<std::string, std::string> metadata_;
  std::unique_ptr<NpyStream> stream_;
  std::string site_name_;
};

/// NAME.npy for each tensor, and index.json.
class FolderSink : public CaptureSink {
 public:
  FolderSink(const fs::path& path, const std::vector<SinkTensor>& tensors,
             const std::map<std::string, std::string>& metadata)
      : folder_(path), tensors_(tensors), metadata_(metadata) {
    for (const SinkTensor& tensor : tensors)
      streams_.push_back(
          std::make_unique<NpyStream>(folder_.path() / (tensor.name + ".npy"), tensor));
  }
  void put(size_t tensor, uint64_t offset, std::span<const std::byte> bytes) override {
    streams_[tensor]->put(offset, bytes);
  }
  void finish() override {
    for (const auto& stream : streams_) stream->finish();
    Json index = {
        {"format", "vitrine-captures-1"}, {"metadata", metadata_}, {"tensors", Json::object()}};
    for (const SinkTensor& tensor : tensors_) {
      Json entry = describe(tensor);
      entry["file"] = tensor.name + ".npy";
      index["tensors"][tensor.name] = std::move(entry);
    }
    write_file(folder_.path() / "index.json", index.dump(1) + "\n");
    folder_.commit();
  }

 private:
  AtomicFolder folder_;  // before its files, which remove their own temporaries
  std::vector<SinkTensor> tensors_;
  std::map<std::string, std::string> metadata_;
  std::vector<std::unique_ptr<NpyStream>> streams_;
};

/// Without the '/' that says "a folder".
fs::path folder_path(const fs::path& path) {
  return path.has_filename() ? path : path.parent_path();
}

}  // namespace

CaptureFormat capture_format(const fs::path& path) {
  std::error_code ignored;
  if (path.empty())
    user_error("the output path is empty: expected a .safetensors or .npy file, or a folder");
  if (!path.has_filename() || fs::is_directory(path, ignored) || path.extension().empty())
    return CaptureFormat::kNpyFolder;
  if (path.extension() == ".safetensors") return CaptureFormat::kSafetensors;
  if (path.extension() == ".npy") return CaptureFormat::kNpy;
  user_error(
      "{}: unknown capture format '{}': expected a .safetensors file, a .npy file, or a folder "
      "(ending in /)",
      path.string(), path.extension().string());
}

DType internal::stored_dtype(CaptureFormat format, DType dtype) {
  return dtype == DType::kBF16 && format != CaptureFormat::kSafetensors ? DType::kF32 : dtype;
}

void internal::check_capture_path(CaptureFormat format, const fs::path& path) {
  std::error_code ignored;
  const fs::path target = format == CaptureFormat::kNpyFolder ? folder_path(path) : path;
  const fs::path parent = target.has_parent_path() ? target.parent_path() : fs::path(".");
  if (!fs::is_directory(parent, ignored))
    user_error("{}: cannot be written: missing folder {}", path.string(), parent.string());
  if (format != CaptureFormat::kNpyFolder || !fs::exists(target, ignored)) return;
  if (!fs::is_directory(target, ignored))
    user_error("{}: is a file: expected a new folder", target.string());
  if (!fs::is_empty(target, ignored))
    user_error("{}: is a non-empty folder: expected a new or empty one", target.string());
}

std::unique_ptr<CaptureSink> internal::make_capture_sink(
    CaptureFormat format, const fs::path& path, const std::vector<SinkTensor>& tensors,
    const std::map<std::string, std::string>& metadata) {
  check_capture_path(format, path);
  switch (format) {
    case CaptureFormat::kSafetensors:
      return std::make_unique<SafetensorsSink>(path, tensors, metadata);
    case CaptureFormat::kNpy:
      return std::make_unique<NpySink>(path, tensors, metadata);
    case CaptureFormat::kNpyFolder:
      return std::make_unique<FolderSink>(folder_path(path), tensors, metadata);
  }
  internal_error("unknown capture format {}", static_cast<int>(format));
}

}  // namespace vitrine
