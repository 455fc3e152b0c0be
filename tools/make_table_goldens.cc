// SPDX-License-Identifier: MIT
// Writes tests/engine/relatives/tensorflow_blocks: the checkpoint of relatives/tensorflow with its
// index in several blocks and its data in three files. LevelDB, whose tables these are, reads and
// writes the index. TensorFlow itself cuts an index only after 256 kB.
//
// Needs libleveldb-dev. From the top of the tree:
//   c++ -std=c++20 tools/make_table_goldens.cc -lleveldb -o /tmp/make_table_goldens
//   /tmp/make_table_goldens

#include <leveldb/env.h>
#include <leveldb/iterator.h>
#include <leveldb/table.h>
#include <leveldb/table_builder.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace fs = std::filesystem;
using Entries = std::vector<std::pair<std::string, std::string>>;
constexpr int kShards = 3;

void check(const leveldb::Status& status) {
  if (status.ok()) return;
  std::cerr << status.ToString() << '\n';
  std::exit(1);
}

Entries read_table(const std::string& path) {
  leveldb::RandomAccessFile* file = nullptr;
  check(leveldb::Env::Default()->NewRandomAccessFile(path, &file));
  leveldb::Table* opened = nullptr;
  check(leveldb::Table::Open({}, file, fs::file_size(path), &opened));
  const std::unique_ptr<leveldb::RandomAccessFile> own_file(file);
  const std::unique_ptr<leveldb::Table> table(opened);
  const std::unique_ptr<leveldb::Iterator> at(table->NewIterator({}));
  Entries entries;
  for (at->SeekToFirst(); at->Valid(); at->Next())
    entries.emplace_back(at->key().ToString(), at->value().ToString());
  check(at->status());
  return entries;
}

void write_table(const std::string& path, const Entries& entries, leveldb::Options options) {
  leveldb::WritableFile* file = nullptr;
  check(leveldb::Env::Default()->NewWritableFile(path, &file));
  const std::unique_ptr<leveldb::WritableFile> own_file(file);
  leveldb::TableBuilder builder(options, file);
  for (const auto& [key, value] : entries) builder.Add(key, value);
  check(builder.Finish());
  check(file->Close());
}

// --- what an entry says: fields of a protocol buffer message

uint64_t take_varint(const std::string& from, size_t& at) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(from.at(at++));
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
}
void put_varint(std::string& to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) to += static_cast<char>(value | 0x80);
  to += static_cast<char>(value);
}

struct Field {
  uint64_t tag, value;
  std::string bytes;
};

std::map<uint64_t, Field> fields_of(const std::string& message) {
  std::map<uint64_t, Field> fields;
  for (size_t at = 0; at < message.size();) {
    const uint64_t tag = take_varint(message, at);
    Field field{tag, 0, {}};
    if (tag % 8 == 0) {
      field.value = take_varint(message, at);
    } else {
      const uint64_t size = tag % 8 == 5 ? 4 : take_varint(message, at);
      field.bytes = message.substr(at, size);
      at += size;
    }
    fields[tag / 8] = field;
  }
  return fields;
}
std::string message_of(const std::map<uint64_t, Field>& fields) {
  std::string message;
  for (const auto& [number, field] : fields) {
    put_varint(message, field.tag);
    if (field.tag % 8 == 0) put_varint(message, field.value);
    if (field.tag % 8 == 2) put_varint(message, field.bytes.size());
    message += field.bytes;
  }
  return message;
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

int main() {
  const fs::path root = "tests/engine/relatives", from = root / "tensorflow",
                 to = root / "tensorflow_blocks";
  fs::create_directories(to);
  fs::copy_file(from / "hparams.json", to / "hparams.json", fs::copy_options::overwrite_existing);
  const std::string data = read_file(from / "model.ckpt.data-00000-of-00001");
  Entries entries = read_table(from / "model.ckpt.index");
  std::string parts[kShards];
  uint64_t turn = 0;
  for (auto& [key, value] : entries) {
    auto fields = fields_of(value);
    if (key.empty()) {
      fields[1] = {8, kShards, {}};
    } else {
      const uint64_t shard = turn++ % kShards, begin = fields[4].value;
      fields[3] = {24, shard, {}};
      fields[4] = {32, parts[shard].size(), {}};
      parts[shard] += data.substr(begin, fields[5].value);
    }
    value = message_of(fields);
  }
  for (int shard = 0; shard < kShards; ++shard) {
    const std::string name = "model.ckpt.data-0000" + std::to_string(shard) + "-of-00003";
    std::ofstream(to / name, std::ios::binary) << parts[shard];
  }
  leveldb::Options options;
  options.block_size = 200;
  options.block_restart_interval = 3;
  options.compression = leveldb::kNoCompression;
  write_table(to / "model.ckpt.index", entries, options);
  options.block_size = 4096;
  options.compression = leveldb::kSnappyCompression;
  write_table(to / "compressed.table", entries, options);
}
