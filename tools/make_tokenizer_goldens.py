#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the tokenizer tests' small models and what Hugging Face `tokenizers` and `sentencepiece` make of generated text.

The text is not stored: tests/tokenizer/data/strings.json says how it is generated, here and in the tests alike. A golden
holds one 64-bit FNV-1a hash of all ids for each block of strings, and some hundred strings in full.

    pip install tokenizers==0.23.3 sentencepiece==0.2.3
    (Up to 0.2.1 sentencepiece breaks ties between equally good unigram paths another way.)
    tools/make_tokenizer_goldens.py models              # trains the small models (not bit-reproducible across versions)
    tools/make_tokenizer_goldens.py small               # their goldens
    tools/make_tokenizer_goldens.py gguf                # small_bpe.gguf (pip install gguf==0.19.0)
    tools/make_tokenizer_goldens.py gpt2 DATA           # GPT-2's; DATA has gpt2-tokenizer/ and corpus/children.txt.xz
    tools/make_tokenizer_goldens.py file TOKENIZER_JSON GOLDEN   # any other tokenizer.json's
"""

import io
import json
import lzma
import pathlib
import sys

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests/tokenizer/data"
MASK = (1 << 64) - 1
BLOCK = 1000


class Generator:
    """Generated strings: each is a function of its number alone. tests/tokenizer/string_generator.h is the same in C++."""

    def __init__(self):
        spec = json.loads((DATA / "strings.json").read_text(encoding="utf-8"))
        self.pools, self.lists, self.kinds = spec["pools"], spec["lists"], spec["kinds"]

    def _next(self) -> int:  # splitmix64
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
        return z ^ (z >> 31)

    def _between(self, first: int, last: int) -> int:
        return first + self._next() % (last - first + 1)

    def _weighted(self, weights: list[int]) -> int:
        at = self._next() % sum(weights)
        for i, weight in enumerate(weights):
            if at < weight:
                return i
            at -= weight
        raise AssertionError

    def _char(self, pool: list[list[int]]) -> str:
        at = self._next() % sum(last - first + 1 for first, last in pool)
        for first, last in pool:
            if at <= last - first:
                return chr(first + at)
            at -= last - first + 1
        raise AssertionError

    def string(self, number: int) -> str:
        self.state = number * 0xD1342543DE82EF95 & MASK
        kind = self.kinds[self._weighted([k["weight"] for k in self.kinds])]
        out = []
        for _ in range(self._between(*kind["parts"])):
            name, _, low, high = kind["from"][self._weighted([part[1] for part in kind["from"]])]
            repeats = self._between(low, high)
            if name in self.pools:
                out += [self._char(self.pools[name]) for _ in range(repeats)]
            else:
                texts = self.lists[name]
                out.append(texts[self._next() % len(texts)] * repeats)
        return "".join(out)


class Fnv:
    def __init__(self):
        self.value = 0xCBF29CE484222325

    def add(self, data: bytes) -> None:
        value = self.value
        for byte in data:
            value = (value ^ byte) * 0x100000001B3 & MASK
        self.value = value

    def add_ids(self, ids: list[int]) -> None:
        """The ids and an end mark, four bytes each, the lowest first."""
        self.add(b"".join(i.to_bytes(4, "little") for i in ids) + b"\xff\xff\xff\xff")

    def hex(self) -> str:
        return f"{self.value:016x}"


EXPLICIT = [
    "", " ", "  ", "\n", " \n", "Hello, world!", " London", "London", "I'm sure they've said it's so; we'll see, he'd 're 'S",
    "Heathrow airport is located in the city of", "a  b   c    d", "tabs\t\tand\nnewlines\r\n  end  ", "x=1;y=22;z=333",
    "\u00a0non\u00a0breaking\u2003em\u3000wide", "na\u00efve cafe\u0301", "\u6771\u4eac\u30bf\u30ef\u30fc", "\U0001f469\u200d\U0001f680 \U0001f600\U0001f600",
    "\u0661\u0662\u0663 \u00bd \u2167 \uff11", "can't 'tis ''s 's's", "<|endoftext|>", "a<|endoftext|>b <|endoftext|> c", "\u0000\u0001\u007f\u0085",
    "\ufeffBOM", "a" * 64, " " * 40 + "x", "ab" * 40, "\ud7ff\ue000\uffff\U00010000\U0010ffff",
]


def golden(name: str, about: str, strings: int, encode) -> dict:
    """`encode(text, allow)` gives ids; with allow, special tokens in the text are tokens."""
    generator = Generator()
    blocks = []
    for first in range(0, strings, BLOCK):
        text_hash, plain, allowed = Fnv(), Fnv(), Fnv()
        for number in range(first, first + BLOCK):
            text = generator.string(number)
            text_hash.add(text.encode() + b"\xff")
            plain.add_ids(encode(text, False))
            allowed.add_ids(encode(text, True))
        blocks.append([text_hash.hex(), plain.hex(), allowed.hex()])
    short = (generator.string(number) for number in range(10**6, 10**6 + 2000))
    explicit = EXPLICIT + [text for text in short if len(text) <= 40][:250]
    print(f"{name}: {strings} strings")
    return {
        "about": about, "block": BLOCK, "hashes": "of each block: text, ids with special tokens as text, ids with them allowed",
        "blocks": blocks,
        "explicit": [{"text": text, "ids": encode(text, False), "allowed": encode(text, True)} for text in explicit],
    }


def write(path: pathlib.Path, content) -> None:
    """JSON with one line for each item of the inner lists."""
    def line(value) -> str:
        return json.dumps(value, ensure_ascii=True)

    def body(value) -> str:
        if isinstance(value, list):
            return "[\n" + ",\n".join("    " + line(item) for item in value) + "\n  ]"
        return line(value)

    path.write_text("{\n" + ",\n".join(f"  {line(k)}: {body(v)}" for k, v in content.items()) + "\n}\n", encoding="ascii")


def hf_encoder(tokenizer):
    def encode(text: str, allow: bool) -> list[int]:
        tokenizer.encode_special_tokens = not allow
        return tokenizer.encode(text, add_special_tokens=False).ids
    return encode


def variant(document: dict, change: str) -> dict:
    """tests/tokenizer/bpe_golden_test.cc makes the same changes."""
    document = json.loads(json.dumps(document))
    model, merges = document["model"], document["model"]["merges"]
    if change == "prefix_space":
        document["pre_tokenizer"]["add_prefix_space"] = True
    elif change == "whole_text":
        document["pre_tokenizer"]["use_regex"] = False
    elif change == "ignore_merges":  # without every fifth merge, or it would change nothing
        model["ignore_merges"] = True
        model["merges"] = [merge for i, merge in enumerate(merges) if i % 5 != 4]
    elif change == "reversed_merges":  # products rank before their parts
        model["merges"] = merges[::-1]
    return document


def make_models() -> None:
    import sentencepiece
    import tokenizers
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    generator = Generator()
    texts = [text for text in map(generator.string, range(2 * 10**6, 2 * 10**6 + 6000)) if len(text) < 200]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                                       special_tokens=["<|endoftext|>"], show_progress=False))
    bpe.add_special_tokens([AddedToken("[MASK]", lstrip=True, normalized=False)])
    bpe.add_tokens([AddedToken("[pad]", rstrip=True, normalized=True), AddedToken("<extra>", normalized=False)])
    (DATA / "small_bpe.json").write_text(json.dumps(json.loads(bpe.to_str()), ensure_ascii=True, indent=0) + "\n", encoding="ascii")

    # Few characters, so that the models stay small and much of the test text is unknown to them.
    latin = (text for text in texts if max(map(ord, text)) < 0x250)
    sentences = [text.replace("\n", " ").replace("\r", " ").replace("\0", " ") for text in latin]
    (DATA / "rules.tsv").write_text("41\t61\nFF21\t61\n3000\t20\nFB01\t66 69\n65 301\tE9\n", encoding="ascii")
    common = {"vocab_size": 500, "hard_vocab_limit": False, "num_threads": 1, "minloglevel": 2, "character_coverage": 0.98}
    kinds = {
        "small_unigram": {"model_type": "unigram", "normalization_rule_tsv": str(DATA / "rules.tsv"), "pad_id": 3},
        "small_spbpe": {"model_type": "bpe", "normalization_rule_name": "identity", "byte_fallback": True, "remove_extra_whitespaces": False,
                        "user_defined_symbols": ["[pad]", "<extra>"], "vocab_size": 700},
        "small_char": {"model_type": "char", "normalization_rule_name": "identity", "add_dummy_prefix": False, "bos_id": -1, "vocab_size": 300},
    }
    for name, options in kinds.items():
        out = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(sentences), model_writer=out, **{**common, **options})
        (DATA / f"{name}.model").write_bytes(out.getvalue())
    (DATA / "rules.tsv").unlink()
    print(f"tokenizers {tokenizers.__version__}, sentencepiece {sentencepiece.__version__}")


def make_small_goldens() -> None:
    import sentencepiece
    import tokenizers
    from tokenizers import Tokenizer

    about = f"small_bpe.json by tokenizers {tokenizers.__version__}"
    document = json.loads((DATA / "small_bpe.json").read_text(encoding="ascii"))
    for change in ("as_is", "prefix_space", "whole_text", "ignore_merges", "reversed_merges"):
        encode = hf_encoder(Tokenizer.from_str(json.dumps(variant(document, change))))
        write(DATA / f"small_bpe.{change}.golden.json", golden(change, f"{about}, {change}", 10 * BLOCK, encode))
    for name in ("small_unigram", "small_spbpe", "small_char"):
        processor = sentencepiece.SentencePieceProcessor(model_file=str(DATA / f"{name}.model"))
        content = golden(name, f"{name}.model by sentencepiece {sentencepiece.__version__}; special tokens are text in both", 10 * BLOCK,
                         lambda text, allow, processor=processor: processor.encode(text))
        for case in content["explicit"]:
            case["decoded"] = processor.decode(case["ids"])
            del case["allowed"]
        write(DATA / f"{name}.golden.json", content)


def make_gpt2_goldens(data: pathlib.Path) -> None:
    import tokenizers
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    files = data / "gpt2-tokenizer"
    gpt2 = Tokenizer(models.BPE.from_file(str(files / "vocab.json"), str(files / "merges.txt")))
    gpt2.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    gpt2.decoder = decoders.ByteLevel()
    gpt2.add_special_tokens([AddedToken("<|endoftext|>", normalized=False)])
    encode = hf_encoder(gpt2)
    content = golden("gpt2", f"GPT-2's vocab.json and merges.txt by tokenizers {tokenizers.__version__}", 220 * BLOCK, encode)
    corpus = lzma.open(data / "corpus/children.txt.xz", "rt", encoding="utf-8", newline="").read()
    documents = corpus.split("<|endoftext|>\n")
    hashes = []
    for document in documents:
        ids = encode(document, False)
        fnv = Fnv()
        fnv.add_ids(ids)
        hashes.append([len(ids), fnv.hex()])
    content["corpus"] = hashes
    write(DATA / "gpt2.golden.json", content)
    print(f"corpus: {len(documents)} documents, {sum(count for count, _ in hashes)} tokens")


def make_gguf() -> None:
    """small_bpe.json as llama.cpp's converter writes it: without the white space that added tokens take."""
    import gguf

    document = json.loads((DATA / "small_bpe.json").read_text(encoding="utf-8"))
    tokens = {id: token for token, id in document["model"]["vocab"].items()}
    types = {id: gguf.TokenType.NORMAL for id in tokens}
    for added in document["added_tokens"]:
        tokens[added["id"]] = added["content"]
        types[added["id"]] = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
    writer = gguf.GGUFWriter(str(DATA / "small_bpe.gguf"), "gpt2")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([tokens[id] for id in sorted(tokens)])
    writer.add_token_types([types[id] for id in sorted(tokens)])
    merges = document["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_eos_token_id(0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def main() -> None:
    match sys.argv[1:]:
        case ["models"]:
            make_models()
        case ["small"]:
            make_small_goldens()
        case ["gguf"]:
            make_gguf()
        case ["gpt2", data]:
            make_gpt2_goldens(pathlib.Path(data))
        case ["file", tokenizer_json, out]:
            from tokenizers import Tokenizer
            name = pathlib.Path(tokenizer_json)
            write(pathlib.Path(out), golden(name.name, f"{name.name} by tokenizers", 10 * BLOCK, hf_encoder(Tokenizer.from_file(str(name)))))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
