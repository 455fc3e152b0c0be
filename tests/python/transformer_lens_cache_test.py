# SPDX-License-Identifier: MIT
"""The drop-in's tensors around a pass: factored matrices, names, slices, losses."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitrine import Error  # noqa: E402
from vitrine.transformer_lens import utils  # noqa: E402
from vitrine.transformer_lens.factored_matrix import FactoredMatrix, composition_scores  # noqa: E402


@pytest.fixture()
def factored():
    generator = torch.Generator().manual_seed(1)
    return FactoredMatrix(
        torch.randn(3, 6, 2, generator=generator, dtype=torch.float64),
        torch.randn(3, 2, 6, generator=generator, dtype=torch.float64),
    )


def test_svd_gives_v_and_not_its_transpose(factored):
    u, s, v = factored.svd()
    assert u.shape == (3, 6, 2) and s.shape == (3, 2) and v.shape == (3, 6, 2)
    torch.testing.assert_close(u @ torch.diag_embed(s) @ v.transpose(-2, -1), factored.AB)
    torch.testing.assert_close(s, torch.linalg.svdvals(factored.AB)[..., :2])
    torch.testing.assert_close(v.transpose(-2, -1) @ v, torch.eye(2, dtype=v.dtype).expand(3, 2, 2))


def test_parts_of_a_factored_matrix_are_those_of_the_whole(factored):
    whole = factored.AB
    torch.testing.assert_close(factored.norm(), whole.norm(dim=(-2, -1)))
    torch.testing.assert_close(factored.T.AB, whole.transpose(-2, -1))
    torch.testing.assert_close(factored.make_even().AB, whole)
    torch.testing.assert_close(factored.collapse_l().norm(dim=(-2, -1)), factored.norm())
    torch.testing.assert_close(factored.eigenvalues.sum(-1).real, whole.diagonal(dim1=-2, dim2=-1).sum(-1))
    torch.testing.assert_close(factored[1].AB, whole[1])
    torch.testing.assert_close(factored[1, -1].AB, whole[1, -1:])
    torch.testing.assert_close(factored[:, 2:4, 0].AB, whole[:, 2:4, :1])
    torch.testing.assert_close((2.0 * factored).AB, 2 * whole)
    assert factored.pair == (factored.A, factored.B) and factored.ndim == 3
    with pytest.raises(ValueError, match="too long an index"):
        factored[0, 0, 0, 0]


def test_products_with_matrices_vectors_and_factored_matrices(factored):
    whole = factored.AB
    matrix, vector = torch.ones(6, 4, dtype=torch.float64), torch.arange(6, dtype=torch.float64)
    torch.testing.assert_close((factored @ matrix).AB, whole @ matrix)
    torch.testing.assert_close((matrix.T @ factored).AB, matrix.T @ whole)
    torch.testing.assert_close(factored @ vector, whole @ vector)
    torch.testing.assert_close((factored @ factored).AB, whole @ whole)
    with pytest.raises(AssertionError, match="inner dimension"):
        factored @ matrix.T


def test_composition_scores_are_ratios_of_norms(factored):
    scores = composition_scores(factored, factored)
    norms = factored.norm()
    product = (factored.AB[:, None] @ factored.AB[None]).norm(dim=(-2, -1))
    torch.testing.assert_close(scores, product / norms[:, None] / norms[None])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("k", 6, "a"), "blocks.6.attn.hook_k"),
        (("pre", 2), "blocks.2.mlp.hook_pre"),
        (("embed",), "hook_embed"),
        (("normalized",), "ln_final.hook_normalized"),
        (("scale", 4, "ln1"), "blocks.4.ln1.hook_scale"),
        (("scale4ln1",), "blocks.4.ln1.hook_scale"),
        (("k6",), "blocks.6.attn.hook_k"),
        (("attn5",), "blocks.5.attn.hook_pattern"),
        (("resid_post", 0), "blocks.0.hook_resid_post"),
        (("blocks.1.hook_mlp_out",), "blocks.1.hook_mlp_out"),
    ],
)
def test_short_names(arguments, name):
    assert utils.get_act_name(*arguments) == name


def test_a_slice_takes_the_same_as_indexing():
    values = torch.arange(12).reshape(3, 4)
    for given, expected in (
        (None, values),
        (1, values[:, 1]),
        ((1, 3), values[:, 1:3]),
        ([0, -1], values[:, [0, 3]]),
        (torch.tensor([2]), values[:, [2]]),
    ):
        assert torch.equal(utils.Slice(given).apply(values, dim=1), expected)
    assert utils.Slice((0, 4, 2)).indices(4).tolist() == [0, 2]
    with pytest.raises(ValueError, match="Invalid input_slice"):
        utils.Slice("all")


def test_loss_and_accuracy_of_known_probabilities():
    logits = torch.log(torch.tensor([[[0.5, 0.25, 0.25], [0.2, 0.2, 0.6], [1.0, 1.0, 1.0]]]))
    tokens = torch.tensor([[0, 1, 2]])
    torch.testing.assert_close(utils.lm_cross_entropy_loss(logits, tokens), torch.tensor(-math.log(0.25 * 0.6) / 2))
    per_token = utils.lm_cross_entropy_loss(logits, tokens, per_token=True)
    torch.testing.assert_close(per_token, -torch.log(torch.tensor([[0.25, 0.6]])))
    masked = utils.lm_cross_entropy_loss(logits, tokens, attention_mask=torch.tensor([[0, 1, 1]]))
    torch.testing.assert_close(masked, torch.tensor(-math.log(0.6)))
    assert utils.lm_accuracy(logits, tokens).item() == 0.5
    assert utils.lm_accuracy(logits, tokens, per_token=True).tolist() == [[False, True]]


def test_sampling_keeps_what_top_k_and_top_p_leave():
    torch.manual_seed(0)
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).repeat(500, 1)
    assert set(utils.sample_logits(logits, top_k=2).tolist()) == {0, 1}
    assert set(utils.sample_logits(logits, top_p=0.6).tolist()) == {0, 1}
    assert set(utils.sample_logits(logits, temperature=0.0).tolist()) == {0}
    seen = torch.zeros(500, 3, dtype=torch.long)
    assert 0 not in utils.sample_logits(logits, freq_penalty=100.0, tokens=seen).tolist()


def test_padding_and_beginnings_of_rows():
    class Tokenizer:
        bos_token_id, pad_token_id, padding_side = 9, 9, "left"

    tokens = torch.tensor([[9, 9, 5, 6], [9, 1, 2, 3]])
    assert utils.get_attention_mask(Tokenizer, tokens, True).tolist() == [[0, 1, 1, 1], [1, 1, 1, 1]]
    assert utils.get_attention_mask(Tokenizer, tokens, False).tolist() == [[0, 0, 1, 1], [0, 1, 1, 1]]
    assert utils.get_tokens_with_bos_removed(Tokenizer, tokens).tolist() == [[9, 5, 6], [1, 2, 3]]
    assert utils.get_tokens_with_bos_removed(Tokenizer, tokens, "right").tolist() == [[9, 5, 6], [1, 2, 3]]


def test_rows_of_a_data_set_are_full():
    class Tokenizer:
        eos_token, eos_token_id, bos_token_id, pad_token, pad_token_id = "e", 0, 1, "p", 2

        def __call__(self, texts, add_special_tokens):
            return {"input_ids": [[10 + len(word) for word in text.split()] for text in texts]}

    class Dataset:
        features = {"text": None, "other": None}

        def remove_columns(self, name):
            assert name == "other"
            return self

        def map(self, function, batched, remove_columns, num_proc):
            assert batched and remove_columns == ["text"]
            self.tokens = function({"text": ["a bb ccc", "dddd"]})["tokens"]
            return self

    found = utils.tokenize_and_concatenate(Dataset(), Tokenizer(), max_length=3, set_format=False).tokens
    np.testing.assert_array_equal(found, [[1, 11, 12], [1, 13, 0]])
    found = utils.tokenize_and_concatenate(Dataset(), Tokenizer(), max_length=8, set_format=False).tokens
    np.testing.assert_array_equal(found, [[1, 11, 12, 13, 0, 14, 2, 2]])


def test_what_downloads_is_refused_by_name():
    with pytest.raises(Error, match="get_dataset.*datasets.load_dataset"):
        utils.get_dataset("pile")
    assert not hasattr(utils, "no_such_name")
