"""What a logit depends on, by its gradient: every earlier token, no later one, and all of the condition."""

import pytest
import torch
from torch import nn

from twostage.priors.model import build


def dependence(model, index_BT, condition_BS):
    """[T, T] and [T, S]: norm of the gradient of the logits at t with respect to the embedding of token s."""
    kept = {}

    def keep(name):
        def hook(module, inputs, output):
            output.retain_grad()
            kept[name] = output

        return hook

    handles = [model.codes.register_forward_hook(keep("codes"))]
    stem = getattr(model, "condition_codes", None) or getattr(getattr(model, "condition", None), "codes", None)
    if condition_BS is not None:
        handles.append(stem.register_forward_hook(keep("condition")))
    logits_BTV = model(index_BT, condition_BS)
    rows = {name: [] for name in kept}
    for t in range(index_BT.shape[1]):
        for output in kept.values():
            output.grad = None
        # Random directions: a sum over the vocabulary could cancel.
        (logits_BTV[:, t] * torch.randn(logits_BTV[:, t].shape)).sum().backward(retain_graph=True)
        for name, output in kept.items():
            rows[name].append(output.grad[0].flatten(0, -2).norm(dim=-1))
    for handle in handles:
        handle.remove()
    return {name: torch.stack(values) for name, values in rows.items()}


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail"])
def test_logits_depend_on_all_earlier_tokens_and_on_no_other(architecture, tokens, prior_config):
    torch.manual_seed(0)
    model = build(prior_config(architecture), tokens).double().eval()
    for part in model.modules():
        if isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight)
    index_BT = torch.randint(tokens.num_codes, (1, tokens.num_tokens))
    condition_BS = None if tokens.condition is None else torch.randint(tokens.condition.num_codes, (1, 16))
    found = dependence(model, index_BT, condition_BS)
    # The transformer does not even embed the last token.
    T, seen = tokens.num_tokens, found["codes"].shape[1]
    earlier_TT = torch.ones(T, T).tril(-1).bool()[:, :seen]
    assert (found["codes"][earlier_TT] > 0).all()
    assert (found["codes"][~earlier_TT] == 0).all()
    if condition_BS is not None:
        assert (found["condition"] > 0).all()


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail"])
def test_changing_a_token_changes_no_logit_up_to_it(architecture, tokens, prior_config):
    torch.manual_seed(0)
    model = build(prior_config(architecture), tokens).eval()
    index_BT = torch.randint(tokens.num_codes, (20, tokens.num_tokens))
    condition_BS = None if tokens.condition is None else torch.randint(tokens.condition.num_codes, (20, 16))
    before = model(index_BT, condition_BS)
    for t in range(tokens.num_tokens - 1):
        changed_BT = index_BT.clone()
        changed_BT[:, t] = (changed_BT[:, t] + 1) % tokens.num_codes
        after = model(changed_BT, condition_BS)
        assert torch.equal(after[:, : t + 1], before[:, : t + 1])
        assert not torch.equal(after[:, t + 1 :], before[:, t + 1 :])


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail"])
def test_the_likelihoods_of_all_images_sum_to_one(architecture, prior_config):
    """The end of the matter: the product of the conditionals is a distribution over whole grids."""
    from itertools import product

    from twostage.latents.dataset import TokenSpace

    torch.manual_seed(0)
    model = build(prior_config(architecture), TokenSpace(3, (2, 3))).double().eval()
    index_BT = torch.tensor(list(product(range(3), repeat=6)))
    log_BTV = model(index_BT).log_softmax(-1)
    log_B = log_BTV.gather(-1, index_BT[..., None]).sum((1, 2))
    assert log_B.exp().sum().item() == pytest.approx(1, abs=1e-9)
