# SPDX-License-Identifier: MIT
"""The drop-in's tensors around a pass: factored matrices, names, slices, losses, the cache of a pass.

What a cache says is checked on a small transformer in plain torch: its parts add up to its stream.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import vitrine  # noqa: E402
from vitrine import Capture, Edit, Error  # noqa: E402
from vitrine.transformer_lens import (  # noqa: E402
    HookedTransformer,
    HookedTransformerConfig,
    head_detector,
    patching,
    utils,
)
from vitrine.transformer_lens.cache import ActivationCache  # noqa: E402
from vitrine.transformer_lens.direct_path import get_act_patch_direct_path  # noqa: E402
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


LAYERS, HEADS, WIDTH, INNER, VOCAB, TOKENS = 3, 2, 8, 12, 20, 5


class Transformer:
    """TransformerLens's arithmetic in float64, with its names of weights and activations."""

    def __init__(self):
        generator = torch.Generator().manual_seed(3)

        def random(*shape):
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.cfg = SimpleNamespace(
            n_layers=LAYERS, n_heads=HEADS, d_model=WIDTH, d_mlp=INNER, attn_only=False, normalization_type="LNPre"
        )
        key = WIDTH // HEADS
        self.blocks = [
            SimpleNamespace(
                attn=SimpleNamespace(W_V=random(HEADS, WIDTH, key), W_O=random(HEADS, key, WIDTH), b_O=random(WIDTH)),
                mlp=SimpleNamespace(W_in=random(WIDTH, INNER), W_out=random(INNER, WIDTH), b_out=random(WIDTH)),
            )
            for _ in range(LAYERS)
        ]
        self.W_U, self.embed, self.pos_embed = random(WIDTH, VOCAB), random(2, TOKENS, WIDTH), random(TOKENS, WIDTH)
        self.pattern = random(HEADS, TOKENS, TOKENS).tril().softmax(-1).expand(2, -1, -1, -1)

    def tokens_to_residual_directions(self, tokens):
        return self.W_U.T[tokens]

    def accumulated_bias(self, layer, mlp_input=False, include_mlp_biases=True):
        bias = sum((block.attn.b_O for block in self.blocks[: layer + mlp_input]), torch.zeros(WIDTH).double())
        return bias + sum(block.mlp.b_out for block in self.blocks[:layer]) * include_mlp_biases

    def ln_final(self, x):
        x = x - x.mean(-1, keepdim=True)
        return x / x.pow(2).mean(-1, keepdim=True).sqrt()

    def run(self):
        """The cache of a pass, and its logits."""
        cache = {"hook_embed": self.embed, "hook_pos_embed": self.pos_embed.expand(2, -1, -1)}
        x = cache["hook_embed"] + cache["hook_pos_embed"]

        def norm(name):
            scale = (x - x.mean(-1, keepdim=True)).pow(2).mean(-1, keepdim=True).sqrt()
            cache[f"{name}.hook_scale"], cache[f"{name}.hook_normalized"] = scale, self.ln_final(x)
            return cache[f"{name}.hook_normalized"]

        for layer, block in enumerate(self.blocks):
            name = f"blocks.{layer}"
            cache[f"{name}.hook_resid_pre"] = x
            v = torch.einsum("bpd,hdk->bphk", norm(f"{name}.ln1"), block.attn.W_V)
            cache[f"{name}.attn.hook_pattern"] = self.pattern
            cache[f"{name}.attn.hook_z"] = torch.einsum("bhqp,bphk->bqhk", self.pattern, v)
            out = torch.einsum("bphk,hkd->bpd", cache[f"{name}.attn.hook_z"], block.attn.W_O) + block.attn.b_O
            cache[f"{name}.hook_attn_out"] = out
            x = cache[f"{name}.hook_resid_mid"] = x + out
            cache[f"{name}.mlp.hook_post"] = (norm(f"{name}.ln2") @ block.mlp.W_in).relu()
            cache[f"{name}.hook_mlp_out"] = cache[f"{name}.mlp.hook_post"] @ block.mlp.W_out + block.mlp.b_out
            x = cache[f"{name}.hook_resid_post"] = x + cache[f"{name}.hook_mlp_out"]
        return ActivationCache(cache, self), norm("ln_final") @ self.W_U


@pytest.fixture()
def cache():
    return Transformer().run()[0]


def test_a_cache_has_short_names_and_negative_layers(cache):
    assert cache["z", -1] is cache["blocks.2.attn.hook_z"]
    assert cache["attn", 1, "attn"] is cache["pattern1"] is cache["blocks.1.attn.hook_pattern"]
    assert cache["scale"] is cache["ln_final.hook_scale"] and cache["embed"] is cache["hook_embed"]
    assert (
        list(cache)[:2] == ["hook_embed", "hook_pos_embed"] and len(cache) == len(cache.keys()) == 2 + 12 * LAYERS + 2
    )
    assert cache.to("cpu")["z", 0].device.type == "cpu"
    with pytest.raises(KeyError):
        cache["resid_post", LAYERS]


@pytest.mark.parametrize("positions", [None, -1, (1, 4), [0, 3]])
def test_the_parts_of_the_stream_add_up_to_it(cache, positions):
    chosen = utils.Slice(positions)
    for layer, mlp_input in ((None, False), (2, False), (1, True), (0, True)):
        stream = cache["resid_post", -1] if layer is None else cache["resid_mid" if mlp_input else "resid_pre", layer]
        stream = chosen.apply(stream, dim=-2)
        norm = cache["normalized"] if layer is None else cache["normalized", layer, "ln2" if mlp_input else "ln1"]
        norm = chosen.apply(norm, dim=-2)
        direction = torch.arange(WIDTH).double()
        options = {"layer": layer, "mlp_input": mlp_input, "pos_slice": positions}
        torch.testing.assert_close(cache.decompose_resid(**options).sum(0), stream)
        torch.testing.assert_close(cache.decompose_resid(**options, apply_ln=True).sum(0), norm)
        for expand in (True, False):
            full = cache.get_full_resid_decomposition(**options, expand_neurons=expand)
            torch.testing.assert_close(full.sum(0), stream)
            for along in (direction, direction[:, None].repeat(1, 2)):
                options["project_output_onto"] = along
                full = cache.get_full_resid_decomposition(**options, expand_neurons=expand, apply_ln=True)
                torch.testing.assert_close(full.sum(0), norm @ along)
                del options["project_output_onto"]


def test_labels_name_the_parts(cache):
    assert cache.accumulated_resid(1, incl_mid=True, mlp_input=True, return_labels=True)[1] == [
        "0_pre", "0_mid", "1_pre", "1_mid",
    ]  # fmt: skip
    stack, labels = cache.accumulated_resid(return_labels=True)
    assert labels == ["0_pre", "1_pre", "2_pre", "final_post"] and torch.equal(stack[3], cache["resid_post", -1])
    parts, labels = cache.decompose_resid(2, mode="attn", return_labels=True)
    assert labels == ["embed", "pos_embed", "0_attn_out", "1_attn_out"] and torch.equal(parts[3], cache["attn_out", 1])
    labels = cache.get_full_resid_decomposition(1, return_labels=True)[1]
    assert labels == ["L0H0", "L0H1", *(f"L0N{n}" for n in range(INNER)), "embed", "pos_embed", "bias"]
    assert cache.stack_head_results(1, return_labels=True, incl_remainder=True)[1] == ["L0H0", "L0H1", "remainder"]
    assert cache.stack_neuron_results(2, neuron_slice=-1, return_labels=True)[1] == ["L0N11", "L1N11"]


def test_heads_and_neurons_add_up_to_their_layers(cache):
    heads = cache.stack_head_results()
    assert heads.shape == (LAYERS * HEADS, 2, TOKENS, WIDTH) and cache["result", 1].shape == (2, TOKENS, HEADS, WIDTH)
    for layer, block in enumerate(cache.model.blocks):
        of_layer = heads[layer * HEADS : (layer + 1) * HEADS].sum(0)
        torch.testing.assert_close(of_layer, cache["attn_out", layer] - block.attn.b_O)
        neurons = cache.get_neuron_results(layer)
        torch.testing.assert_close(neurons.sum(-2), cache["mlp_out", layer] - block.mlp.b_out)
    with_rest = cache.stack_head_results(2, incl_remainder=True, pos_slice=-1, apply_ln=True)
    torch.testing.assert_close(with_rest.sum(0), cache["normalized", 2, "ln1"][:, -1])
    nothing = cache.stack_neuron_results(0, incl_remainder=True)
    torch.testing.assert_close(nothing, cache["resid_post", -1][None])  # as TransformerLens has it
    assert cache.stack_head_results(0).shape == (0, 2, TOKENS, WIDTH)
    assert cache.stack_activation("pattern", 2).shape == (2, 2, HEADS, TOKENS, TOKENS)


def test_projected_neurons_are_the_projections_of_the_neurons(cache):
    directions = torch.randn(WIDTH, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    for apply_ln in (False, True):
        options = {"apply_ln": apply_ln, "incl_remainder": True, "neuron_slice": (0, 4), "pos_slice": (1, None)}
        whole = cache.stack_neuron_results(2, **options)
        torch.testing.assert_close(
            cache.stack_neuron_results(2, **options, project_output_onto=directions), whole @ directions
        )
        torch.testing.assert_close(
            cache.stack_neuron_results(2, **options, project_output_onto=directions[:, 0]), whole @ directions[:, 0]
        )


def test_attributions_add_up_to_logits():
    cache, logits = Transformer().run()
    stack = cache.decompose_resid()
    torch.testing.assert_close(cache.logit_attrs(stack, 7).sum(0), logits[..., 7])
    right, wrong = torch.tensor([1, 2]), torch.tensor([3, 4])
    last = cache.logit_attrs(stack[:, :, -1], right, wrong, pos_slice=-1).sum(0)
    torch.testing.assert_close(last, logits[[0, 1], -1, right] - logits[[0, 1], -1, wrong])
    one = cache.logit_attrs(stack[:, :, -1], 7, pos_slice=-1, batch_slice=1).sum(0)
    torch.testing.assert_close(one, logits[1, -1, 7])
    with pytest.raises(ValueError, match="same shape"):
        cache.logit_attrs(stack, right, 3)
    lens = cache.accumulated_resid(apply_ln=True)
    torch.testing.assert_close(lens[-1] @ cache.model.W_U, logits)
    torch.testing.assert_close(lens[1], cache.model.ln_final(cache["resid_pre", 1]))


def test_a_batch_of_one_loses_its_axis(cache):
    with pytest.raises(AssertionError, match="batch size 2"):
        cache.remove_batch_dim()
    alone = cache.apply_slice_to_batch_dim([1]).remove_batch_dim()
    picked = cache.apply_slice_to_batch_dim(1)
    for one in (alone, picked):
        assert not one.has_batch_dim and torch.equal(one["z", 0], cache["z", 0][1])
        parts = one.get_full_resid_decomposition(apply_ln=True, pos_slice=-1)
        torch.testing.assert_close(parts.sum(0), cache["normalized"][1, -1])
        torch.testing.assert_close(one.accumulated_resid(apply_ln=True)[-1], cache["normalized"][1])
    with pytest.raises(AssertionError, match="without a batch dim"):
        picked.apply_slice_to_batch_dim(0)


def test_a_missing_scale_is_named(cache):
    del cache.cache_dict["blocks.1.ln2.hook_scale"]
    with pytest.raises(KeyError, match="blocks.1.ln2.hook_scale"):
        cache.decompose_resid(1, mlp_input=True, apply_ln=True)


class OneActivation:
    """A model whose logits are its only activation: [batch, pos, 4] for all layers, or a pattern [batch, 2, pos, pos]."""

    tokenizer = None
    hook_dict: dict = {}
    cfg = SimpleNamespace(n_layers=2, n_heads=2, d_vocab=4, device="cpu", dtype=torch.float64)

    def run_with_hooks(self, tokens, fwd_hooks):
        ((name, hook),) = fwd_hooks
        shape = (len(tokens), 2, 3, 3) if "pattern" in name else (len(tokens), 3, 2, 4)
        return hook(torch.zeros(shape), hook=None)


@pytest.mark.parametrize(
    ("function", "activation", "shape", "patched"),
    [
        (patching.get_act_patch_attn_head_out_by_pos, "z", (2, 3, 2), lambda v, i: v[:, i[1], i[2]]),
        (patching.get_act_patch_attn_head_k_all_pos, "k", (2, 2), lambda v, i: v[:, :, i[1]]),
        (patching.get_act_patch_attn_head_pattern_all_pos, "pattern", (2, 2), lambda v, i: v[:, i[1]]),
        (patching.get_act_patch_attn_head_pattern_by_pos, "pattern", (2, 2, 3), lambda v, i: v[:, i[1], i[2]]),
        (
            patching.get_act_patch_attn_head_pattern_dest_src_pos,
            "pattern",
            (2, 2, 3, 3),
            lambda v, i: v[:, i[1], i[2], i[3]],
        ),
    ],
)
def test_a_patch_puts_in_the_clean_values_of_its_index(function, activation, shape, patched):
    generator = torch.Generator().manual_seed(2)
    of_layer = (2, 2, 3, 3) if activation == "pattern" else (2, 3, 2, 4)
    clean = {utils.get_act_name(activation, layer): torch.randn(of_layer, generator=generator) for layer in range(2)}
    tokens = torch.zeros(2, 3, dtype=torch.long)
    found = function(OneActivation(), tokens, clean, lambda logits: logits.sum())
    assert found.shape == shape and found.dtype == torch.float32
    for index in np.ndindex(shape):
        values = clean[utils.get_act_name(activation, index[0])]
        torch.testing.assert_close(found[index], patched(values, index).sum())


def test_a_table_of_indices_gives_a_row_of_metrics():
    clean = {utils.get_act_name("z", layer): torch.full((1, 3, 2, 4), 1.0 + layer) for layer in range(2)}
    arguments = (OneActivation(), torch.zeros(1, 3, dtype=torch.long), clean, torch.sum)
    rows = [[1, 0, 0], [0, 2, 1]]
    setter = patching.layer_pos_head_vector_patch_setter
    found = patching.generic_activation_patch(*arguments, setter, "z", index_df=rows)
    assert found.tolist() == [8.0, 4.0]
    with pytest.raises(AssertionError, match="either index_axis_names or index_df"):
        patching.generic_activation_patch(*arguments, setter, "z")


def test_patterns_of_known_heads():
    tokens = torch.tensor([[4, 7, 4, 7]])
    previous = head_detector.get_previous_token_head_detection_pattern(tokens)
    assert previous.tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    duplicate = head_detector.get_duplicate_token_head_detection_pattern(tokens)
    assert duplicate.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]]
    induction = head_detector.get_induction_head_detection_pattern(tokens)
    assert induction.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]


def test_scores_of_heads_are_shares_of_their_attention():
    class Model:
        cfg = SimpleNamespace(n_layers=1, n_heads=2, n_ctx=8, dtype=torch.float32)
        patterns = torch.tensor([[[1.0, 0, 0], [1, 0, 0], [0.5, 0.25, 0.25]], [[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]])

        def to_tokens(self, text):
            return torch.tensor([[1, 2, 3]])

        def run_with_cache(self, tokens, remove_batch_dim, names_filter):
            assert names_filter == ["blocks.0.attn.hook_pattern"]
            return None, ActivationCache({names_filter[0]: self.patterns}, self, has_batch_dim=False)

    found = head_detector.detect_head(Model(), "text", "previous_token_head")
    torch.testing.assert_close(found, torch.tensor([[1.25 / 3, 0.0]]))
    found = head_detector.detect_head(Model(), "text", "previous_token_head", exclude_current_token=True)
    torch.testing.assert_close(found[0, 0], torch.tensor(1.25 / 1.75))
    found = head_detector.detect_head(Model(), "text", torch.eye(3), heads=[(0, 1)], error_measure="abs")
    torch.testing.assert_close(found, torch.tensor([[-1.0, 1.0]]))
    with pytest.raises(AssertionError, match="one of head names"):
        head_detector.detect_head(Model(), "text", "no_such_head")
    with pytest.raises(AssertionError, match="lower triangular"):
        head_detector.detect_head(Model(), "text", torch.ones(3, 3))


def test_one_batch_of_patches_has_the_bits_of_passes_with_hooks():
    lens = HookedTransformer.from_pretrained("demo")
    clean, corrupted = (lens.to_tokens([text, text]) for text in ("The keys to the", "The car in the"))
    _, cache = lens.run_with_cache(clean)
    options = {"index_axis_names": None, "index_df": [[1, 2], [4, 0]]}

    def metric(logits):
        return logits[:, -1, 5].sum() - logits[0, 1, 7]

    for function, site in (
        (patching.get_act_patch_mlp_out, "hook_mlp_out"),
        (patching.get_act_patch_attn_head_pattern_all_pos, "attn.hook_pattern"),
    ):
        found = function(lens, corrupted, cache, metric, **options)
        with lens.hooks(fwd_hooks=[("hook_embed", lambda tensor, hook: None)]):
            hooked = function(lens, corrupted, cache, metric, **options)
        assert torch.equal(found, hooked)
        native, ids = lens.native, corrupted[0].tolist()
        name = f"blocks.1.{site}"
        place = {"positions": 2} if site == "hook_mlp_out" else {"heads": 2}
        of_clean = native.run(clean[0].tolist(), capture=Capture(name, **place)).captures
        edit = Edit.replace_from(name, of_clean, **place)
        logits = torch.tensor(native.run(ids, edits=[edit]).logits)
        assert found[0] == metric(torch.stack([logits, logits]))


def test_a_direct_path_has_the_value_of_path_patch():
    lens, model = HookedTransformer.from_pretrained("demo"), vitrine.Model.load("demo")
    clean, corrupted = (lens.to_tokens(text) for text in ("The keys to the", "The car in the"))
    caches = [lens.run_with_cache(tokens)[1] for tokens in (clean, corrupted)]
    for component in ("q", "v"):
        found = get_act_patch_direct_path(
            lens, corrupted, *caches, lambda logits: logits[0, -1, 5] - logits[0, -1, 7], 1, 2, component, verbose=False
        )
        expected = vitrine.path_patch(
            model,
            clean[0].tolist(),
            corrupted[0].tolist(),
            answer=5,
            wrong=7,
            senders=["head 1.2"],
            receivers=[f"{component} 4.3"],
        )
        assert abs(found[4, 3].item() - expected["value"][0]) < 1e-4 and not found[:2].any()
        assert abs(expected["value"][0] - expected["corrupt"]) > 1e-3  # the path matters
    with pytest.raises(Error, match="invalid component 'z'"):
        get_act_patch_direct_path(lens, corrupted, *caches, torch.sum, 1, 2, "z")


def test_embeddings_and_weights_of_a_model_alone():
    options = {"n_layers": 2, "d_model": 32, "n_ctx": 16, "d_head": 8, "n_heads": 4, "d_vocab": 50}
    lens = HookedTransformer(HookedTransformerConfig(**options))
    tokens = torch.tensor([[3, 4, 5], [6, 7, 8]])
    residual, ids, shortformer, mask = lens.input_to_embed(tokens)
    assert torch.equal(ids, tokens) and shortformer is mask is None
    torch.testing.assert_close(residual, lens.W_E[tokens] + lens.W_pos[:3])
    padded = torch.tensor([[0, 1, 1], [1, 1, 1]])
    found = lens.pos_embed(tokens, attention_mask=padded)
    assert torch.equal(found[0, 1:], lens.W_pos[:2]) and not found[0, 0].any() and torch.equal(found[1], lens.W_pos[:3])
    torch.testing.assert_close(lens.input_to_embed(tokens, attention_mask=padded)[0], lens.W_E[tokens] + found)
    assert torch.equal(lens.pos_embed(tokens[:, :1], 2), lens.W_pos[None, 2:3].expand(2, -1, -1))
    before = lens(tokens).log_softmax(-1)
    lens.process_weights_()
    assert lens.cfg.normalization_type == "LNPre" and lens.W_out.mean(-1).abs().max() < 1e-6
    torch.testing.assert_close(lens(tokens).log_softmax(-1), before, rtol=0, atol=1e-4)
    with pytest.raises(Error, match="n_key_value_heads 2 is not n_heads 4"):
        HookedTransformerConfig(**options, n_key_value_heads=2)
