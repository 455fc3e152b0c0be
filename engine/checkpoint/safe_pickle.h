// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vitrine/dtype.h"

// A reader of the pickles that torch.save writes for a state_dict, and of nothing else.
//
// A pickle is a program for a stack machine that may call any function of Python: loading one from
// a stranger runs the stranger's code. This machine knows plain values, and of all functions the
// few by which torch describes tensors, which it carries out as data. A pickle that names anything
// else is refused, with the name.

namespace vitrine::internal {

/// A value that a pickle builds. Nodes point at one another; the Pickle that built them owns them
/// all.
struct PickleValue {
  enum class Kind : uint8_t {
    kNone,
    kBool,
    kInteger,
    kFloat,  ///< carries no value: nothing that we read from a pickle is a float
    kText,
    kSequence,          ///< tuple or list: items
    kDict,              ///< items: key, value, key, value, ...
    kFunction,          ///< text: its name, one of the known ones
    kStorageType,       ///< dtype
    kStorage,           ///< dtype, text: key, integer: number of elements
    kOtherStorageType,  ///< text: its name
    kDtype,             ///< text: its name
    kOtherTensor,       ///< of a type that is none of DType's; text: the type's name
    kTensor,  ///< items: storage, then sequences of sizes and of strides; integer: offset into the
              ///< storage, in elements
  };
  Kind kind = Kind::kNone;
  DType dtype = DType::kF32;
  int64_t integer = 0;
  std::string_view text;  ///< of the pickle's own bytes: a copy for each use could fill all memory
  std::vector<const PickleValue*> items;
};

class Pickle {
 public:
  /// Runs the pickle at the beginning of `bytes`, which must outlive this. `file` is what errors
  /// call it. Throws Error
  /// (user): the opcode or name that is not allowed, or what is malformed, and at which byte.
  Pickle(std::span<const std::byte> bytes, std::string file);
  Pickle(const Pickle&) = delete;
  Pickle& operator=(const Pickle&) = delete;

  const PickleValue& root() const { return *root_; }
  /// Bytes of the pickle, up to and including its STOP: files of old torch hold several, one after
  /// another.
  size_t size() const { return at_; }

 private:
  using Kind = PickleValue::Kind;

  [[noreturn]] void fail(std::string_view what) const;
  const std::byte* take(size_t count);
  template <typename T>
  T number();
  std::string_view line();
  std::string_view text(size_t length);

  PickleValue* make(Kind kind);
  void push(PickleValue* value) { stack_.push_back(value); }
  PickleValue* pop();
  PickleValue* top();
  std::vector<const PickleValue*> pop_to_mark();
  PickleValue* tuple_of(size_t count);

  bool step();
  bool step_value(unsigned char opcode);
  bool step_structure(unsigned char opcode);
  void memo_put(uint32_t key);
  void memo_get(uint32_t key);
  void integer_of_bytes();
  void global();
  void persistent_id();
  void reduce();
  void rebuild_tensor(const PickleValue& arguments);

  std::span<const std::byte> bytes_;
  std::string file_;
  size_t at_ = 0;
  std::deque<PickleValue> values_;
  std::vector<PickleValue*> stack_;
  std::vector<size_t> marks_;
  std::map<uint32_t, PickleValue*> memo_;
  const PickleValue* root_ = nullptr;
};

}  // namespace vitrine::internal
