// SPDX-License-Identifier: MIT
// The two libraries agree on most of the syntax. What differs is written out, or refused by name: a
// pattern that silently meant something else would change tokens.
#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/quote.h"
#include "base/utf8.h"
#include "tokenizer/pipeline/characters.h"
#include "tokenizer/pipeline/regex.h"

namespace vitrine::internal {
namespace {

/// What a class such as \s has inside brackets.
struct ClassItems {
  std::string inside;
  std::string
      negated;  ///< the same for what the class does not have; empty if that cannot be listed
};

std::string lower_letters(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)))
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return out;
}

const std::string& white_space() {
  static const std::string ranges = kWhiteSpaceRanges;
  return ranges;
}

/// The named classes, of brackets ([:alpha:]) and of properties (\p{Alpha}).
std::optional<ClassItems> named_class(const std::string& name) {
  static const std::pair<const char*, ClassItems> kClasses[] = {
      {"alnum", {R"(\p{Alphabetic}\p{Nd})", ""}},
      {"alpha", {R"(\p{Alphabetic})", R"(\P{Alphabetic})"}},
      {"blank", {R"(\p{Zs}\x09)", ""}},
      {"cntrl", {R"(\p{Cc})", R"(\P{Cc})"}},
      {"digit", {R"(\p{Nd})", R"(\P{Nd})"}},
      {"lower", {R"(\p{Lowercase})", R"(\P{Lowercase})"}},
      {"punct", {R"(\p{P}\p{S})", ""}},
      {"space", {white_space(), kNotWhiteSpaceRanges}},
      {"upper", {R"(\p{Uppercase})", R"(\P{Uppercase})"}},
      {"word", {kWordRanges, ""}},
      {"xdigit", {"0-9a-fA-F", R"(\x00-\x2f\x3a-\x40\x47-\x60\x67-\x{10ffff})"}},
  };
  for (const auto& [known, items] : kClasses) {
    if (name == known) return items;
  }
  return std::nullopt;
}

/// Long names of Unicode's general categories, which PCRE2 knows by their short ones.
std::optional<std::string> category_of(const std::string& name) {
  static constexpr std::pair<std::string_view, std::string_view> kLong[] = {
      {"letter", "L"},
      {"uppercaseletter", "Lu"},
      {"lowercaseletter", "Ll"},
      {"titlecaseletter", "Lt"},
      {"modifierletter", "Lm"},
      {"otherletter", "Lo"},
      {"mark", "M"},
      {"nonspacingmark", "Mn"},
      {"spacingmark", "Mc"},
      {"enclosingmark", "Me"},
      {"number", "N"},
      {"decimalnumber", "Nd"},
      {"letternumber", "Nl"},
      {"othernumber", "No"},
      {"punctuation", "P"},
      {"symbol", "S"},
      {"mathsymbol", "Sm"},
      {"currencysymbol", "Sc"},
      {"modifiersymbol", "Sk"},
      {"othersymbol", "So"},
      {"separator", "Z"},
      {"spaceseparator", "Zs"},
      {"other", "C"},
      {"control", "Cc"},
      {"format", "Cf"},
      {"any", "Any"}};
  for (const auto& [known, category] : kLong) {
    if (name == known) return std::string(category);
  }
  static constexpr std::string_view kShort =
      " l lu ll lt lm lo m mn mc me n nd nl no p pc pd ps pe pi pf po s sm sc sk so z zs zl zp c "
      "cc "
      "cf cn co cs ";
  if (kShort.find(" " + name + " ") == std::string_view::npos) return std::nullopt;
  std::string category = name;
  category[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(category[0])));
  return category;
}

class Translation {
 public:
  Translation(std::string_view pattern, const std::string& where)
      : pattern_(pattern), where_(where) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '\\') {
        escape();
      } else if (c == '[') {
        ++at_;
        set();
      } else if (c == '(') {
        group();
      } else if (c == '{') {
        interval();
      } else {
        out_ += c;
        ++at_;
      }
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::string_view part) const {
    user_error(
        "{}: the regular expression {} has {}, which is not supported; write it without that",
        where_, quote(pattern_), quote(part));
  }
  char peek(size_t ahead = 0) const {
    return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0';
  }
  std::string_view from(size_t begin) const { return pattern_.substr(begin, at_ - begin); }

  void escape();
  bool common_escape(char c);
  ClassItems property(size_t begin);
  void literal(char32_t c) { out_ += fmt::format("\\x{{{:x}}}", static_cast<uint32_t>(c)); }
  char32_t hexadecimal(size_t begin, size_t digits);
  struct Operand;
  void set();
  Operand operand(size_t opened, int depth, bool first);
  bool is_plain_set(Operand& whole, int depth);
  void set_escape(size_t begin);
  void posix_class(size_t begin);
  void group();
  void interval();

  std::string_view pattern_;
  const std::string& where_;
  std::string out_;
  size_t at_ = 0;
};

char32_t Translation::hexadecimal(size_t begin, size_t digits) {
  char32_t value = 0;
  for (size_t count = 0; count < digits && std::isxdigit(static_cast<unsigned char>(peek()));
       ++count) {
    const char c = pattern_[at_++];
    value = value * 16 + static_cast<char32_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  if (value > 0x10FFFF) refuse(from(begin));
  return value;
}

// What means the same inside and outside of brackets.
bool Translation::common_escape(char c) {
  static constexpr std::pair<char, char32_t> kControls[] = {
      {'t', '\t'}, {'n', '\n'}, {'r', '\r'}, {'f', '\f'}, {'v', '\v'}, {'a', '\a'}, {'e', 0x1B}};
  const size_t begin = at_ - 2;
  for (const auto& [letter, control] : kControls) {
    if (c == letter) {
      literal(control);
      return true;
    }
  }
  if (c == 'x' && peek() == '{') {
    ++at_;
    const char32_t value = hexadecimal(begin, 8);
    if (peek() != '}') refuse(from(begin));
    ++at_;
    literal(value);
    return true;
  }
  if (c == 'x' || c == 'u') {
    const size_t digits = c == 'x' ? 2 : 4, before = at_;
    const char32_t value = hexadecimal(begin, digits);
    // A byte beyond ASCII would be part of a character.
    if (at_ == before || (c == 'x' && value > 0x7F) || (c == 'u' && at_ - before != 4))
      refuse(from(begin));
    literal(value);
    return true;
  }
  if (static_cast<unsigned char>(c) < 0x80 && !std::isalnum(static_cast<unsigned char>(c))) {
    literal(static_cast<unsigned char>(c));
    return true;
  }
  return false;
}

/// \p{NAME}, \P{NAME} or \p{^NAME}, of which \p is read.
ClassItems Translation::property(size_t begin) {
  bool negated = pattern_[at_ - 1] == 'P';
  if (peek() != '{') refuse(from(begin));
  const size_t end = pattern_.find('}', at_);
  if (end == std::string_view::npos) refuse(from(begin));
  std::string_view name = pattern_.substr(at_ + 1, end - at_ - 1);
  at_ = end + 1;
  if (name.starts_with('^')) {
    negated = !negated;
    name.remove_prefix(1);
  }
  const std::string letters = lower_letters(name);
  if (letters.empty()) refuse(from(begin));
  ClassItems items;
  if (const auto category = category_of(letters)) {
    items = {"\\p{" + *category + "}", "\\P{" + *category + "}"};
  } else if (const auto known = named_class(letters)) {
    items = *known;
  } else if (letters == "alphabetic" || letters == "lowercase" || letters == "uppercase" ||
             letters == "emoji" || letters == "extendedpictographic" || letters == "ideographic" ||
             letters == "math") {
    items = {"\\p{" + letters + "}", "\\P{" + letters + "}"};
  } else {
    // A script: by default PCRE2 would count characters that several scripts share, too.
    items = {"\\p{sc:" + letters + "}", "\\P{sc:" + letters + "}"};
  }
  if (negated) std::swap(items.inside, items.negated);
  return items;
}

void Translation::escape() {
  const size_t begin = at_++;
  if (at_ == pattern_.size()) refuse(from(begin));
  const char c = pattern_[at_++];
  const auto whole_class = [&](const std::string& name, bool negated) {
    out_ += (negated ? "[^" : "[") + named_class(name)->inside + "]";
  };
  switch (c) {
    case 's':
    case 'S':
      return whole_class("space", c == 'S');
    case 'd':
    case 'D':
      return whole_class("digit", c == 'D');
    case 'w':
    case 'W':
      return whole_class("word", c == 'W');
    case 'h':
    case 'H':
      return whole_class("xdigit", c == 'H');
    case 'p':
    case 'P': {
      const ClassItems items = property(begin);
      out_ += !items.inside.empty() ? "[" + items.inside + "]" : "[^" + items.negated + "]";
      return;
    }
    case 'b':
    case 'B': {
      const std::string word = std::string("[") + kWordRanges + "]";
      out_ += c == 'b' ? "(?:(?<=" + word + ")(?!" + word + ")|(?<!" + word + ")(?=" + word + "))"
                       : "(?:(?<=" + word + ")(?=" + word + ")|(?<!" + word + ")(?!" + word + "))";
      return;
    }
    case 'A':
    case 'z':
    case 'Z':
    case 'G':
    case 'R':
    case 'X':
    case 'K':
      out_ += {'\\', c};
      return;
    default:
      break;
  }
  if (c >= '1' && c <= '9' && !std::isdigit(static_cast<unsigned char>(peek()))) {
    out_ += {'\\', c};
    return;
  }
  if (!common_escape(c)) {
    if (static_cast<unsigned char>(c) < 0x80) refuse(from(begin));
    out_ += c;  // the first byte of a character
  }
}

void Translation::set_escape(size_t begin) {
  const char c = pattern_[at_++];
  const auto add = [&](const ClassItems& items, bool negated) {
    const std::string& list = negated ? items.negated : items.inside;
    if (list.empty()) refuse(from(begin));
    out_ += list;
  };
  switch (c) {
    case 's':
    case 'S':
      return add(*named_class("space"), c == 'S');
    case 'd':
    case 'D':
      return add(*named_class("digit"), c == 'D');
    case 'w':
    case 'W':
      return add(*named_class("word"), c == 'W');
    case 'h':
    case 'H':
      return add(*named_class("xdigit"), c == 'H');
    case 'p':
    case 'P':
      return add(property(begin), false);
    case 'b':
      return literal('\b');
    default:
      break;
  }
  if (!common_escape(c)) {
    if (static_cast<unsigned char>(c) < 0x80) refuse(from(begin));
    out_ += c;
  }
}

/// [:NAME:] inside brackets, of which [: is read.
void Translation::posix_class(size_t begin) {
  const bool negated = peek() == '^';
  if (negated) ++at_;
  const size_t end = pattern_.find(":]", at_);
  if (end == std::string_view::npos) refuse(from(begin));
  const auto items = named_class(std::string(pattern_.substr(at_, end - at_)));
  at_ = end + 2;
  const std::string list = !items ? "" : negated ? items->negated : items->inside;
  if (list.empty()) refuse(from(begin));
  out_ += list;
}

/// One side of && in a set: characters and classes, as they are inside brackets, and sets that
/// cannot be written there, as expressions of their own.
struct Translation::Operand {
  std::string items;
  std::vector<std::string> sets;

  bool empty() const { return items.empty() && sets.empty(); }
  std::string expression() const {
    if (sets.empty()) return "[" + items + "]";
    if (items.empty() && sets.size() == 1) return sets[0];
    std::string either = "(?:" + (items.empty() ? "" : "[" + items + "]|");
    for (size_t i = 0; i < sets.size(); ++i) either += (i > 0 ? "|" : "") + sets[i];
    return either + ")";
  }
};

// After the bracket, to the next && or the end. A set inside is part of it.
Translation::Operand Translation::operand(size_t opened, int depth, bool first) {
  Operand operand;
  std::swap(out_, operand.items);  // what is read inside brackets goes there
  for (;; first = false) {
    if (at_ >= pattern_.size()) refuse("[ without ]");
    const size_t begin = at_;
    const char c = pattern_[at_++];
    if (c == ']' && first) refuse("[]");
    if (c == ']' || (c == '&' && peek() == '&')) break;
    if (c == '[' && peek() == ':') {
      ++at_;
      posix_class(begin);
    } else if (c == '[') {
      if (out_.ends_with('-')) refuse("-[");  // Oniguruma leaves out the character before it
      Operand inner;
      if (is_plain_set(inner, depth + 1)) {
        if (inner.items.ends_with('-')) {  // for itself, whatever follows
          inner.items.pop_back();
          inner.items += "\\-";
        }
        out_ += inner.items;
        operand.sets.insert(operand.sets.end(), inner.sets.begin(), inner.sets.end());
      } else {
        operand.sets.push_back(std::move(inner.sets[0]));
      }
    } else if (c == '\\' && at_ < pattern_.size()) {
      set_escape(begin);
    } else if (c == '^') {
      out_ += "\\^";  // after && it would negate
    } else {
      out_ += c;
    }
  }
  std::swap(out_, operand.items);
  if (operand.empty()) refuse(from(opened));
  return operand;
}

/// Reads a set after its bracket. False: it is negated or an intersection, and `whole.sets` has the
/// one expression for it.
bool Translation::is_plain_set(Operand& whole, int depth) {
  constexpr int kMaxDepth = 16;
  const size_t opened = at_ - 1;
  if (depth > kMaxDepth) refuse(pattern_.substr(opened, 1));
  const bool negated = peek() == '^';
  if (negated) ++at_;
  std::vector<Operand> sides = {operand(opened, depth, true)};
  while (pattern_[at_ - 1] == '&') {
    ++at_;
    sides.push_back(operand(opened, depth, false));
  }
  if (!negated && sides.size() == 1) {
    whole = std::move(sides[0]);
    return true;
  }
  std::string all;
  for (size_t i = 0; i + 1 < sides.size(); ++i) all += "(?=" + sides[i].expression() + ")";
  all += sides.back().expression();
  if (!negated) {
    whole.sets = {"(?:" + all + ")"};
  } else if (sides.size() == 1 && sides[0].sets.empty()) {
    whole.sets = {"[^" + sides[0].items + "]"};
  } else {
    whole.sets = {"(?:(?!" + all + ")(?s:.))"};
  }
  return false;
}

void Translation::set() {
  Operand whole;
  out_ += is_plain_set(whole, 0) ? whole.expression() : whole.sets[0];
}

void Translation::group() {
  const size_t begin = at_++;
  out_ += '(';
  if (peek() != '?') return;
  static constexpr std::array<std::string_view, 6> kSame = {"?:", "?=", "?!", "?>", "?<=", "?<!"};
  for (const std::string_view same : kSame) {
    if (pattern_.substr(at_).starts_with(same)) {
      at_ += same.size();
      out_ += same;
      return;
    }
  }
  if (peek(1) == '<') {  // a name, which no tokenizer reads
    const size_t end = pattern_.find('>', at_);
    if (end == std::string_view::npos) refuse(pattern_.substr(begin, 3));
    at_ = end + 1;
    return;
  }
  // Options: i ignores case, and m lets a dot match the end of a line.
  const size_t end = pattern_.find_first_of(":)", at_);
  const std::string_view options =
      pattern_.substr(at_ + 1, end == std::string_view::npos ? 0 : end - at_ - 1);
  if (options.empty() || options.find_first_not_of("im-") != std::string_view::npos)
    refuse(pattern_.substr(begin, 4));
  out_ += '?';
  for (const char option : options) out_ += option == 'm' ? 's' : option;
  at_ = end + 1;
  out_ += pattern_[end];
}

void Translation::interval() {
  const size_t begin = at_;
  const size_t end = pattern_.find('}', at_);
  const std::string_view inside =
      end == std::string_view::npos ? "" : pattern_.substr(at_ + 1, end - at_ - 1);
  const bool counts = !inside.empty() && inside != "," &&
                      inside.find_first_not_of("0123456789,") == std::string_view::npos &&
                      std::count(inside.begin(), inside.end(), ',') <= 1;
  if (!counts) {
    out_ += "\\{";
    ++at_;
    return;
  }
  at_ = end + 1;
  // PCRE2 would take + for "keep what is matched", and ? after one count for "as few as possible".
  const bool one_count = inside.find(',') == std::string_view::npos;
  if (peek() == '+' || (one_count && peek() == '?')) {
    ++at_;
    refuse(from(begin));
  }
  out_ += (inside.starts_with(',') ? "{0" : "{") + std::string(inside) + "}";
}

}  // namespace

std::string translated_regex(std::string_view pattern, const std::string& where) {
  return Translation(pattern, where).run();
}

}  // namespace vitrine::internal
