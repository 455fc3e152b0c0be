#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/tokenizer/data/pipelines.golden.json: small tokenizers of every kind, and what Hugging Face `tokenizers`
makes of generated text with each.

    pip install tokenizers==0.23.3
    tools/make_pipeline_goldens.py                 # the golden of the tests
    tools/make_pipeline_goldens.py 5000 OUT.json   # as many strings; the test reads it with VITRINE_PIPELINE_GOLDENS=OUT.json

A golden holds 32 bits of an FNV-1a hash for each string and tokenizer: of the ids (special tokens as text, and as tokens),
of where each token ends, and of the text that the ids decode to. The text is generated in the same way by the test.
"""

import base64
import json
import sys
import unicodedata

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from make_tokenizer_goldens import DATA, Fnv, Generator

FIRST = 3 * 10**6
GPT4 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]"
        r"|\s+(?!\S)|\s+")
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPLIT = r"\d+|[A-Z]|(?<=\w)\b(?=\W)|[[:punct:]\h]"
# tokenizers' spans are wrong after what a BPE drops, and those of GPT-2's own kind are finer here.
SHIFTED = ["bytes_dropped", "added_plain"]
TEXTS = [
    "", " ", "  ", "\n", "Hello, world!", " London", "I'm sure they've said it's so; we'll see", "a  b   c    d", "tabs\t\tand\nnew\r\n  end  ",
    "\u00a0non\u00a0breaking\u2003em\u3000wide", "na\u00efve cafe\u0301 \u0130stanbul", "\u6771\u4eac\u30bf\u30ef\u30fc", "Q\u0323\u0307 q\u0307\u0323 \u1e0b\u0323",
    "\u1112\u1161\u11ab\uae00 \ud55c", "\ufb01n \uff21\uff22 \u2460 \u00bd \u212b \u3392", "\u0661\u0662\u0663 \u2167 1234567 12.5", "x_y z-w (a) [b]",
    "<|endoftext|>", "a<|endoftext|>b <|endoftext|> c", "<m> <m>x x<m> <M>", " [MASK] a [MASK]b", "[pad]  b [pad]", "<extra>word <Extra> <EXTRA>",
    "<s>text</s> <unk>", "the end. isn't it? do not 's", "\u0000\u0001\u007f\ufffd", "a" * 120, " " * 20 + "x", "|a||b|", "A\u030angstro\u0308m",
    "\u2581under\u2581 \u2581", "\u24b6\u24b7 \u200d \u00b2", "<0x41> <0xe4>", "##ing ing</w>", "\u0915\u094d\u0937\u093f \u0e33", "k\u212a\u017f'\u017f",
]


def train(model, trainer, texts, **parts) -> Tokenizer:
    tokenizer = Tokenizer(model)
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def bpe(texts, size=200, alphabet=None, special=("<|endoftext|>",), trainer=None, model=None, **parts) -> Tokenizer:
    options = {"vocab_size": size, "special_tokens": list(special), "show_progress": False, "limit_alphabet": 200, **(trainer or {})}
    if alphabet is not None:
        options["initial_alphabet"] = alphabet
        del options["limit_alphabet"]
        options["vocab_size"] += 200
    return train(models.BPE(**(model or {})), trainers.BpeTrainer(**options), texts, **parts)


def make_tokenizers(texts) -> dict[str, Tokenizer]:
    N, P, D = normalizers, pre_tokenizers, decoders
    bytes_ = P.ByteLevel.alphabet()
    level = P.ByteLevel(add_prefix_space=False)
    all_ = {}

    def add(name, tokenizer):
        all_[name] = tokenizer
        return tokenizer

    add("bytes_dropped", bpe(texts, pre_tokenizer=level, decoder=D.ByteLevel(), trainer={"limit_alphabet": 60}))
    add("bytes_unknown", bpe(texts, special=("<unk>",), pre_tokenizer=level, decoder=D.ByteLevel(), trainer={"limit_alphabet": 60},
                             model={"unk_token": "<unk>"}))
    add("nfc", bpe(texts, alphabet=bytes_, normalizer=N.NFC(), pre_tokenizer=level, decoder=D.ByteLevel()))
    t = add("lower_prefix", bpe(texts, alphabet=bytes_, normalizer=N.Sequence([N.NFKD(), N.Lowercase(), N.Strip()]),
                                pre_tokenizer=P.ByteLevel(add_prefix_space=True), decoder=D.ByteLevel()))
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=False)
    add("gpt4", bpe(texts, alphabet=bytes_, pre_tokenizer=P.Sequence([P.Split(Regex(GPT4), "removed", True), P.ByteLevel(False, use_regex=False)]),
                    decoder=D.ByteLevel()))
    add("llama3", bpe(texts, alphabet=bytes_, pre_tokenizer=P.Sequence([P.Split(Regex(LLAMA3), "isolated"), P.ByteLevel(False, use_regex=False)]),
                      decoder=D.ByteLevel(), model={"ignore_merges": True}))
    add("gpt4o", bpe(texts, alphabet=bytes_, pre_tokenizer=P.Sequence([P.Split(Regex(GPT4O), "isolated"), P.ByteLevel(False, use_regex=False)]),
                     decoder=D.ByteLevel()))
    add("digits_bytes", bpe(texts, alphabet=bytes_, pre_tokenizer=P.Sequence([P.Digits(True), P.Punctuation("contiguous"), level]), decoder=D.ByteLevel()))
    add("bytes_normalizer", bpe(texts, alphabet=bytes_, normalizer=N.ByteLevel(), pre_tokenizer=P.Split(Regex(r"Ġ?[^Ġ]+|Ġ"), "isolated"),
                                decoder=D.ByteLevel()))
    add("quick_start", bpe(texts, special=("[UNK]", "[PAD]"), model={"unk_token": "[UNK]"}, pre_tokenizer=P.Whitespace()))
    add("word_ends", bpe(texts, special=("<unk>",), model={"unk_token": "<unk>", "end_of_word_suffix": "</w>"}, trainer={"end_of_word_suffix": "</w>"},
                         normalizer=N.BertNormalizer(), pre_tokenizer=P.BertPreTokenizer(), decoder=D.BPEDecoder()))
    add("continuing", bpe(texts, special=("<unk>",), model={"unk_token": "<unk>", "continuing_subword_prefix": "##", "fuse_unk": True},
                          trainer={"continuing_subword_prefix": "##", "limit_alphabet": 40}, pre_tokenizer=P.WhitespaceSplit(), decoder=D.WordPiece()))
    byte_tokens = [f"<0x{i:02X}>" for i in range(256)]
    t = add("llama2", bpe(texts, size=600, special=["<unk>", "<s>", "</s>", *byte_tokens], trainer={"limit_alphabet": 70},
                          model={"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True},
                          normalizer=N.Sequence([N.Prepend("\u2581"), N.Replace(" ", "\u2581")]), pre_tokenizer=P.Metaspace(prepend_scheme="never"),
                          decoder=D.Sequence([D.Replace("\u2581", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])))
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    without = json.loads(t.to_str())
    without["added_tokens"] = without["added_tokens"][:3]
    without["pre_tokenizer"] = None
    all_["llama2"] = Tokenizer.from_str(json.dumps(without))
    add("metaspace_first", bpe(texts, special=("<unk>",), model={"unk_token": "<unk>"}, pre_tokenizer=P.Metaspace(prepend_scheme="first"),
                               decoder=D.Metaspace(prepend_scheme="first")))
    add("metaspace_never", bpe(texts, special=("<unk>",), model={"unk_token": "<unk>"}, pre_tokenizer=P.Metaspace("_", "never", False),
                               decoder=D.Metaspace("_", "never")))
    t = add("bert", train(models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer(
        vocab_size=300, limit_alphabet=150, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False), texts,
        normalizer=N.BertNormalizer(), pre_tokenizer=P.BertPreTokenizer(), decoder=D.WordPiece()))
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                     special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    add("bert_cased", train(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=6, continuing_subword_prefix="@@"), trainers.WordPieceTrainer(
        vocab_size=300, limit_alphabet=150, special_tokens=["[UNK]"], continuing_subword_prefix="@@", show_progress=False), texts,
        normalizer=N.BertNormalizer(lowercase=False, strip_accents=False, clean_text=False), pre_tokenizer=P.BertPreTokenizer(),
        decoder=D.WordPiece("@@", False)))
    words = trainers.WordLevelTrainer(vocab_size=300, special_tokens=["[UNK]"], show_progress=False)
    add("words", train(models.WordLevel(unk_token="[UNK]"), words, texts, pre_tokenizer=P.WhitespaceSplit()))
    add("words_plain", train(models.WordLevel(unk_token="[UNK]"), words, texts, pre_tokenizer=P.Sequence([P.Whitespace(), P.Punctuation("merged_with_next")]),
                             normalizer=N.Sequence([N.NFD(), N.StripAccents(), N.Lowercase(), N.Strip(True, False)])))
    add("delimited", train(models.WordLevel(unk_token="[UNK]"), words, texts, pre_tokenizer=P.CharDelimiterSplit("e"), normalizer=N.Strip(False, True)))
    add("fixed", train(models.WordLevel(unk_token="[UNK]"), words, texts, pre_tokenizer=P.FixedLength(2)))
    pieces = {"vocab_size": 300, "special_tokens": ["<pad>", "</s>", "<unk>"], "unk_token": "<unk>", "show_progress": False}
    add("unigram", train(models.Unigram(), trainers.UnigramTrainer(**pieces), [text for text in texts if text.isascii()],
                         normalizer=N.Sequence([N.Nmt(), N.NFKC(), N.Replace(Regex(" {2,}"), " ")]), pre_tokenizer=P.Metaspace(), decoder=D.Metaspace()))
    document = json.loads(all_["unigram"].to_str())
    document["model"]["byte_fallback"] = True
    document["model"]["vocab"] += [[token, -20.0] for token in byte_tokens]
    document["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": charsmap()}
    document["decoder"] = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, document["decoder"]]}
    document["pre_tokenizer"] = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": False}
    all_["unigram_bytes"] = Tokenizer.from_str(json.dumps(document))
    for behavior in ("removed", "isolated", "contiguous", "merged_with_previous", "merged_with_next"):
        add(f"split_{behavior}", bpe(texts, size=220, special=("[UNK]",), model={"unk_token": "[UNK]"},
                                     pre_tokenizer=P.Split(Regex(SPLIT), behavior, behavior == "contiguous")))
    t = add("added", bpe(texts, alphabet=bytes_, normalizer=N.Sequence([N.Lowercase(), N.Replace("x", "ks")]), pre_tokenizer=level, decoder=D.ByteLevel()))
    t.add_tokens([AddedToken("<m>", single_word=True, normalized=False), AddedToken("<Extra>", normalized=True), AddedToken("[pad]", rstrip=True),
                  AddedToken("London", single_word=True), AddedToken("ab", normalized=False), AddedToken("word", lstrip=True, rstrip=True)])
    t.add_special_tokens([AddedToken("[MASK]", lstrip=True, normalized=False), AddedToken("</s>", normalized=True)])
    t = add("added_plain", bpe(texts, alphabet=bytes_, pre_tokenizer=level, decoder=D.ByteLevel()))
    t.add_tokens([AddedToken("<m>", single_word=True), AddedToken("the", single_word=True, normalized=False), AddedToken("[pad]", rstrip=True, lstrip=True)])
    add("one_word", bpe(texts, size=260, special=("<unk>",), model={"unk_token": "<unk>"}, trainer={"max_token_length": 5}, pre_tokenizer=P.FixedLength(9),
                        decoder=D.Sequence([D.Fuse(), D.Replace("e", "E"), D.Strip("t", 2, 1)])))
    one = json.loads(all_["one_word"].to_str())
    one["pre_tokenizer"] = None
    all_["one_word"] = Tokenizer.from_str(json.dumps(one))
    return all_


def charsmap() -> str:
    """The table of normalisations in small_unigram.model, a protocol buffer."""
    data = (DATA / "small_unigram.model").read_bytes()

    def fields(data):
        at = 0

        def varint():
            nonlocal at
            value = shift = 0
            while True:
                byte = data[at]
                at += 1
                value |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    return value

        while at < len(data):
            tag = varint()
            if tag & 7 == 0:
                yield tag >> 3, varint()
            elif tag & 7 == 2:
                size = varint()
                yield tag >> 3, data[at:at + size]
                at += size
            else:
                at += 4 if tag & 7 == 5 else 8

    normalizer = next(value for number, value in fields(data) if number == 3)
    return base64.b64encode(next(value for number, value in fields(normalizer) if number == 2)).decode()


def is_settled(c: str) -> bool:
    """Whether all versions of Unicode that the libraries have agree about a character."""
    split = pre_tokenizers.Punctuation().pre_tokenize_str(f"a{c}b")
    clean = normalizers.BertNormalizer(True, False, False, False).normalize_str(f"a{c}b")
    kind = unicodedata.category(c)
    is_other = kind in ("Cc", "Cf", "Co") and c not in "\t\n\r" or c in "\0\ufffd"
    patterns = {p: len(pre_tokenizers.Split(Regex(f"(?<=a){p}(?=b)"), "isolated").pre_tokenize_str(f"a{c}b")) == 3 or c in "ab"
                for p in (r"\p{L}", r"\p{N}", r"\p{M}", r"\p{P}", r"\p{Lu}", r"\p{Ll}")}
    return (kind != "Cn"
            and (len(split) == 3) == (kind[0] == "P" or c.isascii() and kind[0] == "S")
            and (clean == "ab") == is_other
            and (normalizers.StripAccents().normalize_str(c) == "") == (kind[0] == "M")
            and patterns[r"\p{L}"] == (kind[0] == "L") and patterns[r"\p{N}"] == (kind[0] == "N")
            and patterns[r"\p{M}"] == (kind[0] == "M") and patterns[r"\p{P}"] == (kind[0] == "P")
            and normalizers.Lowercase().normalize_str(c) == c.lower()
            and normalizers.NFKC().normalize_str(c) == unicodedata.normalize("NFKC", c)
            and normalizers.NFD().normalize_str(c) == unicodedata.normalize("NFD", c)
            ) or c in "ab"


def ends(text: str, offsets) -> list[int]:
    """Where each token ends, in bytes: at its end or where the next begins; between the two, white space goes to the next
    token and other characters to this one."""
    out, at = [], 0
    for i, (_, end) in enumerate(offsets):
        if i + 1 == len(offsets):
            here = len(text)
        else:
            following = offsets[i + 1][0]
            here = min(end, following)
            while here < following and not (text[here].isspace() and text[here] not in "\x1c\x1d\x1e\x1f"):
                here += 1
        at = max(at, here)
        out.append(len(text[:at].encode()))
    return out


def hash_of(tokenizer: Tokenizer, text: str, spans: bool) -> str:
    fnv = Fnv()
    tokenizer.encode_special_tokens = True
    fnv.add_ids(tokenizer.encode(text, add_special_tokens=False).ids)
    tokenizer.encode_special_tokens = False
    allowed = tokenizer.encode(text, add_special_tokens=False)
    fnv.add_ids(allowed.ids)
    if spans:
        fnv.add_ids(ends(text, allowed.offsets))
    fnv.add(tokenizer.decode(allowed.ids, skip_special_tokens=False).encode() if allowed.ids else b"")
    return fnv.hex()[8:]


def main() -> None:
    count, out = (int(sys.argv[1]), sys.argv[2]) if len(sys.argv) == 3 else (260, DATA / "pipelines.golden.json")
    generator = Generator()
    training = [text for text in map(generator.string, range(2 * 10**6, 2 * 10**6 + 3000)) if len(text) < 200]
    settled: dict[str, bool] = {}
    numbers, number = [], FIRST
    while len(numbers) < count:
        text = generator.string(number)
        for c in set(text) - settled.keys():
            settled[c] = is_settled(c)
        if len(text) <= 80 and all(settled[c] for c in text):
            numbers.append(number)
        number += 1
    known = set(numbers)
    golden = {"about": f"tokenizers {tokenizers.__version__}; see tools/make_pipeline_goldens.py", "texts": TEXTS, "first": FIRST,
              "numbers": "".join("x" if n in known else "." for n in range(FIRST, number)), "tokenizers": {}}
    strings = TEXTS + [generator.string(n) for n in numbers]
    for name, made in make_tokenizers(training).items():
        document = json.loads(made.to_str())
        tokenizer = Tokenizer.from_str(json.dumps(document))  # as the file has it
        frame = tokenizer.encode("z", add_special_tokens=True).ids
        plain = tokenizer.encode("z", add_special_tokens=False).ids
        at = next((i for i in range(len(frame) + 1) if frame[i:i + len(plain)] == plain), None)
        assert at is not None, (name, frame, plain)
        merges = document["model"].get("merges", [])
        if all(" " not in half for merge in merges for half in merge):
            merges[:] = [" ".join(merge) for merge in merges]  # shorter, and the same
        golden["tokenizers"][name] = {"before": frame[:at], "after": frame[at + len(plain):], "size": tokenizer.get_vocab_size(), "spans": name not in SHIFTED,
                                      "hashes": "".join(hash_of(tokenizer, text, name not in SHIFTED) for text in strings), "json": document}
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items() if key != "tokenizers"]
    entries = [f"    {json.dumps(name)}: {json.dumps(value, separators=(',', ':'))}" for name, value in golden["tokenizers"].items()]
    lines.append('  "tokenizers": {\n' + ",\n".join(entries) + "\n  }")
    with open(out, "w", encoding="ascii") as file:
        file.write("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{len(entries)} tokenizers, {len(strings)} strings")


if __name__ == "__main__":
    main()
