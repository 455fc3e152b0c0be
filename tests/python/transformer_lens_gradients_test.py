# SPDX-License-Identifier: MIT
"""Gradients through many hooks of the drop-in for TransformerLens: their values, and how many passes they take."""

import pytest

torch = pytest.importorskip("torch")

import transformer_lens_cases as cases  # noqa: E402

from vitrine.transformer_lens import HookedTransformer, autograd  # noqa: E402

IDS = torch.tensor(cases.IDS)


@pytest.fixture
def model():
    model = HookedTransformer(cases.config())
    model.load_and_process_state_dict(cases.state(), **cases.RAW)
    return model


@pytest.fixture
def passes(monkeypatch):
    """The wanted gradients of each pass of the engine."""
    found = []
    run = autograd.Backward._run

    def counted(self, wrt):
        found.append(wrt)
        run(self, wrt)

    monkeypatch.setattr(autograd.Backward, "_run", counted)
    return found


def watched(model, names, loss, others=()):
    """Gradients at `names`, where functions see all values and gradients. `loss`: of the logits and the values."""
    values, gradients = {}, {}

    def keep(value, hook):
        values[hook.name] = value

    def keep_gradient(gradient, hook):
        gradients[hook.name] = gradient.clone()

    with model.hooks([*((name, keep) for name in names), *others], [(name, keep_gradient) for name in names]):
        loss(model(IDS), values).backward()
    return gradients


def surprisal(model):
    return lambda logits, _values: model.loss_fn(logits, IDS)


def names_of(model):
    # The engine has what the final layernorm gives after its weight: a change for it.
    return list(model.run_with_cache(IDS, return_cache_object=False)[1])[:-2]


def test_functions_at_all_sites_see_the_gradients_of_one_pass(model, passes):
    names = names_of(model)
    found = watched(model, names, surprisal(model))
    assert len(names) > 30 and list(found) != [] and len(passes) == 1
    _, cache = model.run_with_cache(IDS, names_filter=names, incl_bwd=True, return_type="loss")
    for name in names:
        assert torch.allclose(found[name], cache[f"{name}_grad"], rtol=0, atol=1e-6), name


def test_a_loss_that_reads_hooks_adds_its_gradient(model, passes):
    names = [name for name in names_of(model) if name != "blocks.0.hook_resid_mid"]

    copies = {}

    def copy(value, hook):
        copies[hook.name] = value * 1  # the hook's own gradient comes before this one's

    def at_hooks(_logits, values):
        part = values["blocks.1.hook_resid_mid"].tanh().sum() + values["blocks.0.attn.hook_z"].pow(2).sum()
        return part + copies["blocks.0.hook_resid_mid"].sin().sum()

    def both(logits, values):
        return surprisal(model)(logits, values) + at_hooks(logits, values)

    others = [("blocks.0.hook_resid_mid", copy)]
    parts = [watched(model, names, loss, others) for loss in (surprisal(model), at_hooks)]
    passes.clear()
    found = watched(model, names, both, others)
    assert len(passes) == 4  # three hooks have a part in the loss
    for name, gradient in found.items():
        expected = sum(part[name] for part in parts if name in part)
        assert torch.allclose(gradient, expected, rtol=0, atol=1e-5 * float(expected.abs().max())), name


def test_a_vector_learns_in_a_frozen_model(model, passes):
    model.requires_grad_(False)

    def loss(vector):
        hooks = [
            ("blocks.0.hook_resid_post", lambda x, hook: x + vector),
            ("blocks.1.attn.hook_z", lambda x, hook: x * vector[:4]),
        ]
        return model.run_with_hooks(IDS, fwd_hooks=hooks, return_type="loss")

    vector = torch.linspace(0.2, 1, cases.WIDTH).requires_grad_()
    loss(vector).backward()
    assert len(passes) == 2
    for i in range(cases.WIDTH):
        step = torch.zeros(cases.WIDTH)
        step[i] = 0.02
        with torch.no_grad():
            slope = (loss(vector + step) - loss(vector - step)) / 0.04
        assert abs(float(vector.grad[i] - slope)) < 2e-3


def test_parts_of_a_kept_graph_are_differentiated_again_and_again(model):
    values = {}

    def keep(value, hook):
        values[hook.name] = value

    model.add_hook(lambda name: name.endswith(("resid_pre", "mlp_out")), keep)
    loss = model(IDS, return_type="loss")
    first = torch.autograd.grad(loss, list(values.values()), retain_graph=True)
    for _ in range(6):  # more than the backward passes that are kept
        (last,) = torch.autograd.grad(2 * loss, values["blocks.1.hook_mlp_out"], retain_graph=True)
    again = torch.autograd.grad(loss, list(values.values()))
    assert all(map(torch.equal, first, again)) and torch.allclose(last, 2 * first[-1])


@pytest.mark.parametrize("layer", range(1, cases.LAYERS + 1))
def test_a_given_residual_has_the_gradient_of_the_whole_pass(model, passes, layer):
    name = f"blocks.{layer}.hook_resid_pre" if layer < cases.LAYERS else f"blocks.{layer - 1}.hook_resid_post"
    _, cache = model.run_with_cache(
        IDS, names_filter=name, incl_bwd=True, return_type="loss", return_cache_object=False
    )
    residual = cache[name].clone().requires_grad_()
    passes.clear()
    logits = model(residual, start_at_layer=layer)
    model.loss_fn(logits, IDS).backward()
    assert len(passes) == 1
    assert torch.allclose(residual.grad, cache[f"{name}_grad"], rtol=0, atol=1e-6)
    if layer < cases.LAYERS:
        stopped = model.blocks[layer](residual.detach())
        assert torch.allclose(model(stopped, start_at_layer=layer + 1), logits, rtol=0, atol=1e-6)
