#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tokenizer/unicode_tables.inc: the class of every code point for GPT-2's pre-tokenisation.

The classes are those of Unicode 16.0: letters (L*), numbers (N*) and White_Space. That is the version of the regular
expression engine in Hugging Face `tokenizers` 0.23; --check compares the table with it at all 0x110000 code points.

    pip install unicodedata2==16.0.0 tokenizers==0.23.3
    tools/make_unicode_tables.py tokenizer/unicode_tables.inc [--check]
"""

import sys

import unicodedata2

UNICODE_VERSION = "16.0.0"
OTHER, LETTER, NUMBER, SPACE = range(4)
BLOCK = 256
# White_Space has been stable since Unicode 6.3; general categories do not give it (U+0085 is Cc).
WHITE_SPACE = {*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}


def class_of(code_point: int) -> int:
    if code_point in WHITE_SPACE:
        return SPACE
    return {"L": LETTER, "N": NUMBER}.get(unicodedata2.category(chr(code_point))[0], OTHER)


def check(classes: list[int]) -> None:
    from tokenizers import pre_tokenizers

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)

    def whole(text: str) -> bool:
        return len(byte_level.pre_tokenize_str(text)) == 1

    for code_point, expected in enumerate(classes):
        if 0xD800 <= code_point < 0xE000:
            continue
        char = chr(code_point)
        probes = {LETTER: f"a{char}a", NUMBER: f"1{char}1", OTHER: f"!{char}!"}
        found = [name for name, probe in probes.items() if whole(probe)]
        if (found or [SPACE]) != [expected]:
            sys.exit(f"U+{code_point:04X}: Unicode {UNICODE_VERSION} says class {expected}, tokenizers says {found or [SPACE]}")
    print(f"all code points agree with tokenizers; letters {classes.count(LETTER)}, numbers {classes.count(NUMBER)}, "
          f"white space {classes.count(SPACE)}")


def rows(values: list[int], per_row: int) -> str:
    lines = (values[i:i + per_row] for i in range(0, len(values), per_row))
    return "\n".join("    " + ", ".join(str(v) for v in line) + "," for line in lines)


def main() -> None:
    if unicodedata2.unidata_version != UNICODE_VERSION:
        sys.exit(f"unicodedata2 has Unicode {unicodedata2.unidata_version}; install unicodedata2=={UNICODE_VERSION}")
    classes = [class_of(c) for c in range(0x110000)]
    if "--check" in sys.argv[2:]:
        check(classes)
    blocks: dict[tuple[int, ...], int] = {}
    index = [blocks.setdefault(tuple(classes[i:i + BLOCK]), len(blocks)) for i in range(0, 0x110000, BLOCK)]
    packed = [sum(block[i + j] << (2 * j) for j in range(4)) for block in blocks for i in range(0, BLOCK, 4)]
    with open(sys.argv[1], "w", encoding="ascii") as out:
        out.write(
            f"// Made by tools/make_unicode_tables.py from Unicode {UNICODE_VERSION}. Do not edit.\n"
            "// Class of code point c: two bits of kClassBlocks[kClassIndex[c >> 8]][(c & 255) / 4].\n"
            "// clang-format off\n\n"
            f"inline constexpr uint8_t kClassIndex[{len(index)}] = {{\n{rows(index, 34)}\n}};\n\n"
            f"inline constexpr uint8_t kClassBlocks[{len(blocks)}][64] = {{\n{rows(packed, 32)}\n}};\n\n"
            "// clang-format on\n")


if __name__ == "__main__":
    main()
