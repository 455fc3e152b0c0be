// SPDX-License-Identifier: MIT
#include "base/proto_message.h"

#include "base/check.h"

namespace vitrine::internal {

void ProtoMessage::broken() const {
  user_error(
      "{}: is not {}, or truncated (invalid data {} bytes before the end of a field); download it "
      "again",
      file_, kind_, rest_.size());
}

std::optional<ProtoMessage::Field> ProtoMessage::next() {
  if (rest_.empty()) return std::nullopt;
  const uint64_t tag = varint();
  // A library would cut the tag to 32 bits, and see another field than we do.
  if (tag > UINT32_MAX) broken();
  Field field{tag >> 3, 0, {}};
  switch (tag & 7) {
    case 0:
      field.value = varint();
      break;
    case 1:
      take(8);
      break;
    case 2:
      field.bytes = take(varint());
      break;
    case 5:
      take(4);
      break;
    default:
      broken();
  }
  return field;
}

uint64_t ProtoMessage::varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(rest_[0]);
    rest_.remove_prefix(1);
    value |= uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
  broken();
}

std::string_view ProtoMessage::take(uint64_t count) {
  if (count > rest_.size()) broken();
  const std::string_view taken = rest_.substr(0, count);
  rest_.remove_prefix(count);
  return taken;
}

}  // namespace vitrine::internal
