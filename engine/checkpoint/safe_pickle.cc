// SPDX-License-Identifier: MIT
#include "engine/checkpoint/safe_pickle.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "base/quote.h"

namespace vitrine::internal {
namespace {

// A state_dict makes some ten values a tensor. The bounds keep a hostile file from taking all
// memory or time: a value of one byte takes some hundred here, and one long value may be used
// often.
constexpr size_t kMaxValues = 1'000'000;
constexpr size_t kMaxStorageKey = 256, kMaxAxes = 64;

constexpr const char* kOrderedDict = "collections.OrderedDict";
constexpr const char* kRebuildTensor = "torch._utils._rebuild_tensor_v2";
constexpr const char* kRebuildOtherTensor = "torch._utils._rebuild_tensor_v3";
constexpr const char* kRebuildParameter = "torch._utils._rebuild_parameter";

constexpr std::array<std::pair<const char*, DType>, 10> kStorageTypes = {
    {{"torch.FloatStorage", DType::kF32},
     {"torch.HalfStorage", DType::kF16},
     {"torch.BFloat16Storage", DType::kBF16},
     {"torch.DoubleStorage", DType::kF64},
     {"torch.LongStorage", DType::kI64},
     {"torch.IntStorage", DType::kI32},
     {"torch.ShortStorage", DType::kI16},
     {"torch.CharStorage", DType::kI8},
     {"torch.ByteStorage", DType::kU8},
     {"torch.BoolStorage", DType::kBool}}};

// Storages and types of tensors that are known by name alone: what no GPT-2 needs.
constexpr auto kOtherStorageTypes = std::to_array<const char*>(
    {"torch.ComplexFloatStorage", "torch.ComplexDoubleStorage", "torch.storage.UntypedStorage"});
constexpr auto kOtherDtypes = std::to_array<const char*>(
    {"torch.uint16", "torch.uint32", "torch.uint64", "torch.float8_e4m3fn", "torch.float8_e5m2",
     "torch.float8_e4m3fnuz", "torch.float8_e5m2fnuz", "torch.float8_e8m0fnu",
     "torch.float4_e2m1fn_x2", "torch.complex32"});

// The opcodes of protocol 2 that torch.save uses, by Python's names (pickletools).
enum Opcode : unsigned char {
  kMark = '(',
  kStop = '.',
  kProto = 0x80,
  kNone = 'N',
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kLong1 = 0x8a,
  kBinFloat = 'G',
  kBinUnicode = 'X',
  kEmptyTuple = ')',
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kTuple = 't',
  kEmptyList = ']',
  kAppend = 'a',
  kAppends = 'e',
  kEmptyDict = '}',
  kSetItem = 's',
  kSetItems = 'u',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kGlobal = 'c',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBuild = 'b',
};

}  // namespace

Pickle::Pickle(std::span<const std::byte> bytes, std::string file)
    : bytes_(bytes), file_(std::move(file)) {
  while (step()) {
  }
}

void Pickle::fail(std::string_view what) const {
  user_error("{}: pickle, byte {}: {}", file_, at_, what);
}

const std::byte* Pickle::take(size_t count) {
  if (count > bytes_.size() - at_) fail("truncated");
  const std::byte* data = bytes_.data() + at_;
  at_ += count;
  return data;
}

template <typename T>
T Pickle::number() {
  T value = 0;
  std::memcpy(&value, take(sizeof(T)), sizeof(T));
  return value;
}

std::string_view Pickle::text(size_t length) {
  return {reinterpret_cast<const char*>(take(length)), length};
}

std::string_view Pickle::line() {
  const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + at_,
                              bytes_.size() - at_);
  const size_t end = rest.find('\n');
  if (end == std::string_view::npos) fail("truncated");
  at_ += end + 1;
  return rest.substr(0, end);
}

PickleValue* Pickle::make(Kind kind) {
  if (values_.size() >= kMaxValues) fail("too many values for a model");
  values_.emplace_back().kind = kind;
  return &values_.back();
}

PickleValue* Pickle::top() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back()))
    fail("invalid pop from an empty stack");
  return stack_.back();
}

PickleValue* Pickle::pop() {
  PickleValue* value = top();
  stack_.pop_back();
  return value;
}

std::vector<const PickleValue*> Pickle::pop_to_mark() {
  if (marks_.empty()) fail("missing mark");
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<const PickleValue*> values(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return values;
}

PickleValue* Pickle::tuple_of(size_t count) {
  PickleValue* tuple = make(Kind::kSequence);
  for (size_t i = 0; i < count; ++i) tuple->items.push_back(pop());
  std::reverse(tuple->items.begin(), tuple->items.end());
  return tuple;
}

bool Pickle::step() {
  const auto opcode = number<unsigned char>();
  if (opcode == kStop) {
    root_ = pop();
    return false;
  }
  if (!step_value(opcode) && !step_structure(opcode)) {
    fail(fmt::format("opcode 0x{:02x} is not used by torch.save of a state_dict", opcode));
  }
  return true;
}

bool Pickle::step_value(unsigned char opcode) {
  switch (opcode) {
    case kProto:
      if (const auto version = number<unsigned char>(); version != 2)
        fail(fmt::format("unknown protocol {}: expected 2, as torch.save writes", version));
      return true;
    case kNone:
      push(make(Kind::kNone));
      return true;
    case kNewTrue:
    case kNewFalse:
      push(make(Kind::kBool));
      top()->integer = opcode == kNewTrue;
      return true;
    case kBinInt:
      push(make(Kind::kInteger));
      top()->integer = number<int32_t>();
      return true;
    case kBinInt1:
      push(make(Kind::kInteger));
      top()->integer = number<uint8_t>();
      return true;
    case kBinInt2:
      push(make(Kind::kInteger));
      top()->integer = number<uint16_t>();
      return true;
    case kLong1:
      integer_of_bytes();
      return true;
    case kBinFloat:
      take(8);
      push(make(Kind::kFloat));
      return true;
    case kBinUnicode:
      push(make(Kind::kText));
      top()->text = text(number<uint32_t>());
      return true;
    case kGlobal:
      global();
      return true;
    case kBinPersId:
      persistent_id();
      return true;
    default:
      return false;
  }
}

bool Pickle::step_structure(unsigned char opcode) {
  switch (opcode) {
    case kMark:
      marks_.push_back(stack_.size());
      return true;
    case kEmptyTuple:
    case kEmptyList:
      push(make(Kind::kSequence));
      return true;
    case kTuple1:
    case kTuple2:
    case kTuple3:
      push(tuple_of(opcode - kTuple1 + 1u));
      return true;
    case kTuple: {
      auto items = pop_to_mark();
      push(make(Kind::kSequence));
      top()->items = std::move(items);
      return true;
    }
    case kEmptyDict:
      push(make(Kind::kDict));
      return true;
    case kAppend:
    case kAppends:
    case kSetItem:
    case kSetItems: {
      const bool to_dict = opcode == kSetItem || opcode == kSetItems;
      const auto items = opcode == kAppends || opcode == kSetItems
                             ? pop_to_mark()
                             : tuple_of(to_dict ? 2 : 1)->items;
      PickleValue* target = top();
      if (target->kind != (to_dict ? Kind::kDict : Kind::kSequence) ||
          (to_dict && items.size() % 2 != 0))
        fail("invalid container for appended values");
      target->items.insert(target->items.end(), items.begin(), items.end());
      return true;
    }
    case kBinPut:
      memo_put(number<uint8_t>());
      return true;
    case kLongBinPut:
      memo_put(number<uint32_t>());
      return true;
    case kBinGet:
      memo_get(number<uint8_t>());
      return true;
    case kLongBinGet:
      memo_get(number<uint32_t>());
      return true;
    case kReduce:
      reduce();
      return true;
    case kBuild:  // an OrderedDict's attributes; torch keeps the modules' version numbers there
      if (pop()->kind != Kind::kDict || top()->kind != Kind::kDict)
        fail("invalid state: expected a dictionary");
      return true;
    default:
      return false;
  }
}

void Pickle::memo_put(uint32_t key) { memo_[key] = top(); }

void Pickle::memo_get(uint32_t key) {
  const auto it = memo_.find(key);
  if (it == memo_.end()) fail(fmt::format("unknown memo value {}", key));
  push(it->second);
}

void Pickle::integer_of_bytes() {
  const size_t count = number<uint8_t>();
  if (count > sizeof(int64_t)) fail("integer exceeds 64 bits");
  const std::byte* bytes = take(count);
  uint64_t value = 0;
  std::memcpy(&value, bytes, count);  // little-endian two's complement, as long as it needs to be
  if (count > 0 && count < 8 && (bytes[count - 1] & std::byte{0x80}) != std::byte{0})
    value |= ~uint64_t{0} << (8 * count);
  push(make(Kind::kInteger));
  top()->integer = static_cast<int64_t>(value);
}

void Pickle::global() {
  const std::string_view module = line();
  const std::string name = fmt::format("{}.{}", module, line());
  const auto named = [&](const auto& names, Kind kind) {
    const auto known = std::find(std::begin(names), std::end(names), name);
    if (known == std::end(names)) return false;
    push(make(kind));
    top()->text = *known;
    return true;
  };
  constexpr std::array kFunctions = {kOrderedDict, kRebuildTensor, kRebuildOtherTensor,
                                     kRebuildParameter};
  if (named(kFunctions, Kind::kFunction) || named(kOtherStorageTypes, Kind::kOtherStorageType) ||
      named(kOtherDtypes, Kind::kDtype))
    return;
  for (const auto& [known, dtype] : kStorageTypes) {
    if (name == known) {
      push(make(Kind::kStorageType));
      top()->dtype = dtype;
      return;
    }
  }
  user_error(
      "{}: pickle uses {}, which is not part of a tensor and could execute foreign code; it was "
      "not loaded: save the tensors alone with torch.save(model.state_dict(), FILE)",
      file_, quote(name));
}

// ('storage', type, key, device, number of elements), in old files followed by None.
void Pickle::persistent_id() {
  const PickleValue* id = pop();
  const auto& items = id->items;
  const bool plain = id->kind == Kind::kSequence &&
                     (items.size() == 5 || (items.size() == 6 && items[5]->kind == Kind::kNone));
  const bool other = plain && items[1]->kind == Kind::kOtherStorageType;
  if (!plain || items[0]->text != "storage" || (items[1]->kind != Kind::kStorageType && !other) ||
      items[2]->kind != Kind::kText || items[4]->kind != Kind::kInteger || items[4]->integer < 0) {
    fail("unknown persistent object: expected the storage of a tensor");
  }
  if (items[2]->text.size() > kMaxStorageKey)
    fail(fmt::format("the name of a storage has {} bytes: expected at most {}",
                     items[2]->text.size(), kMaxStorageKey));
  if (other) {
    push(make(Kind::kOtherStorageType));
    top()->text = items[1]->text;
    return;
  }
  push(make(Kind::kStorage));
  top()->dtype = items[1]->dtype;
  top()->text = items[2]->text;
  top()->integer = items[4]->integer;
}

namespace {

bool is_other_tensor(const PickleValue& arguments) {
  return !arguments.items.empty() &&
         arguments.items[0]->kind == PickleValue::Kind::kOtherStorageType;
}

// Of _rebuild_tensor_v3, which also has the type, or of a tensor in a storage of such a type.
std::string_view type_of_other(const PickleValue& arguments) {
  for (const PickleValue* item : arguments.items) {
    if (item->kind == PickleValue::Kind::kDtype) return item->text;
  }
  return is_other_tensor(arguments) ? arguments.items[0]->text : "an unknown type";
}

}  // namespace

void Pickle::reduce() {
  const PickleValue* arguments = pop();
  const PickleValue* function = pop();
  if (function->kind != Kind::kFunction || arguments->kind != Kind::kSequence)
    fail("invalid call: expected a function");
  if (function->text == kOrderedDict) {
    if (!arguments->items.empty()) fail("unexpected arguments of OrderedDict");
    push(make(Kind::kDict));
  } else if (function->text == kRebuildOtherTensor || is_other_tensor(*arguments)) {
    push(make(Kind::kOtherTensor));
    top()->text = type_of_other(*arguments);
  } else if (function->text == kRebuildTensor) {
    rebuild_tensor(*arguments);
  } else {
    const auto& items = arguments->items;
    if (items.size() != 3 ||
        (items[0]->kind != Kind::kTensor && items[0]->kind != Kind::kOtherTensor))
      fail("invalid Parameter: expected a tensor");
    push(make(Kind::kTensor));
    *top() = *items[0];
  }
}

// _rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks)
void Pickle::rebuild_tensor(const PickleValue& arguments) {
  const auto& items = arguments.items;
  if (items.size() != 6 || items[0]->kind != Kind::kStorage || items[1]->kind != Kind::kInteger ||
      items[2]->kind != Kind::kSequence || items[3]->kind != Kind::kSequence ||
      items[2]->items.size() != items[3]->items.size()) {
    fail("tensor arguments are not those of torch.save");
  }
  if (items[2]->items.size() > kMaxAxes)
    fail(
        fmt::format("a tensor has {} axes: expected at most {}", items[2]->items.size(), kMaxAxes));
  for (const PickleValue* list : {items[2], items[3]}) {
    for (const PickleValue* item : list->items) {
      if (item->kind != Kind::kInteger) fail("invalid tensor sizes: expected integers");
    }
  }
  push(make(Kind::kTensor));
  top()->dtype = items[0]->dtype;
  top()->integer = items[1]->integer;
  top()->items = {items[0], items[2], items[3]};
}

}  // namespace vitrine::internal
