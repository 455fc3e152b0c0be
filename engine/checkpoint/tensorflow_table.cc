// SPDX-License-Identifier: MIT
#include "engine/checkpoint/tensorflow_table.h"

#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "base/proto_message.h"

// A table is blocks of entries, then an index block, whose values say where the blocks are, then 48
// bytes: where the blocks of metadata and the index are, and eight bytes that say what this is. A
// key is stored as what differs from the key before it.

namespace vitrine::internal {
namespace {

using See = std::function<void(const std::string& key, std::string_view value)>;

constexpr size_t kFooterBytes = 48, kMagicBytes = 8, kTrailerBytes = 5;
constexpr char kSnappy = 1;
constexpr std::string_view kMagic{"\x57\xfb\x80\x8b\x24\x75\x47\xdb", kMagicBytes};
// GPT-2 XL has 580 tensors, with those of an optimiser three times as many.
constexpr int kMostEntries = 1 << 16;
constexpr uint64_t kMostKeyBytes = 512;
constexpr const char* kKind = "a TensorFlow checkpoint's index";

class Table {
 public:
  Table(std::string_view file, const std::string& path) : file_(file), path_(path) {}

  void walk(const See& see) {
    ProtoMessage footer(file_.substr(file_.size() - kFooterBytes), path_, kKind);
    block(footer);  // of metadata, which has none
    walk_block(block(footer), [&](const std::string&, std::string_view handle) {
      ProtoMessage place(handle, path_, kKind);
      walk_block(block(place), see);
    });
  }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    user_error("{}: is {}, but {}; download it again", path_, kKind, what);
  }

  /// The block whose place is read next: its offset and size.
  std::string_view block(ProtoMessage& place) const {
    const uint64_t begin = place.varint(), size = place.varint(), end = file_.size();
    if (begin > end || size > end - begin || kTrailerBytes > end - begin - size)
      fail("a block lies outside of the file");
    if (file_[begin + size] != 0)
      user_error(
          "{}: is {}, but compressed{}: expected no compression, which TensorFlow never applies; "
          "save it again by tf.raw_ops.SaveV2",
          path_, kKind, file_[begin + size] == kSnappy ? " with Snappy" : "");
    return file_.substr(begin, size);
  }

  void walk_block(std::string_view block, const See& see) {
    uint32_t restarts = 0;
    if (block.size() < sizeof(restarts)) fail("a block is truncated");
    std::memcpy(&restarts, block.data() + block.size() - sizeof(restarts), sizeof(restarts));
    const uint64_t tail = (uint64_t{restarts} + 1) * sizeof(restarts);
    if (tail > block.size()) fail("a block is truncated");
    ProtoMessage entries(block.substr(0, block.size() - tail), path_, kKind);
    std::string key;
    while (!entries.at_end()) {
      const uint64_t shared = entries.varint(), more = entries.varint(), size = entries.varint();
      if (shared > key.size() || more > kMostKeyBytes - shared) fail("a key is invalid");
      key.resize(shared);
      key += entries.take(more);
      if (++entries_ > kMostEntries) fail(fmt::format("has more than {} entries", kMostEntries));
      see(key, entries.take(size));
    }
  }

  std::string_view file_;
  const std::string& path_;
  int entries_ = 0;
};

}  // namespace

bool is_table_file(std::string_view contents) {
  return contents.size() >= kFooterBytes && contents.ends_with(kMagic);
}

void for_each_table_entry(std::string_view contents, const std::string& path, const See& see) {
  if (!is_table_file(contents)) user_error("{}: is not {}: expected its last 8 bytes", path, kKind);
  Table(contents, path).walk(see);
}

}  // namespace vitrine::internal
