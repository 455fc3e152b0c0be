# SPDX-License-Identifier: MIT
import numpy as np
import pytest
from conftest import TEXT

torch = pytest.importorskip("torch")

import vitrine.torch  # noqa: E402
from vitrine import Edit  # noqa: E402


def captured(model, site):
    return torch.tensor(model.run(TEXT, capture=site)[site])


@pytest.mark.parametrize(
    "site", ["hook_embed", "blocks.2.hook_resid_post", "blocks.3.attn.hook_z", "blocks.1.mlp.hook_post"]
)
def test_the_values_of_a_site_go_in_and_the_pass_is_the_same(model, site):
    out = vitrine.torch.forward(model, TEXT, inputs={site: captured(model, site)})
    assert np.array_equal(out["logits"].numpy(), model.run(TEXT).logits)


def test_a_loss_in_torch_has_the_engines_gradient(model):
    site = "blocks.2.hook_resid_post"
    token = model.tokenizer.single_token(" are")
    value = captured(model, site).requires_grad_()
    out = vitrine.torch.forward(model, TEXT, inputs={site: value})
    torch.log_softmax(out["logits"][-1], -1)[token].backward()
    expected = model.gradients(TEXT, vitrine.Target.log_prob(token), wrt=site)[site]
    assert np.allclose(value.grad.numpy(), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_gradients_are_slopes_through_several_sites_and_edits(model):
    sites = ["blocks.1.hook_mlp_out", "blocks.3.attn.hook_z"]
    values = [captured(model, site).requires_grad_() for site in sites]
    edits = Edit.scale("blocks.2.hook_mlp_out", 0.5)
    torch.manual_seed(0)
    probe = torch.randn(5, model.config.width)

    def loss(a, b):
        out = vitrine.torch.forward(
            model, TEXT, inputs=dict(zip(sites, (a, b))), outputs=["blocks.5.hook_resid_post"], edits=edits
        )
        return (out["blocks.5.hook_resid_post"] * probe).sum()

    loss(*values).backward()
    for i, value in enumerate(values):
        direction = value.grad / value.grad.norm()
        step = 0.05
        ends = []
        for sign in (1, -1):
            moved = [v.detach().clone() for v in values]
            moved[i] += sign * step * direction
            ends.append(loss(*moved).item())
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(value.grad.norm().item(), rel=5e-3)
