"""The transformer and its cache."""

import pytest
import torch

from twostage.config.schema import GPTConfig, TransformerConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.priors.gpt import GPT
from twostage.priors.transformer import Span, Transformer, initialise


def small(tokens):
    torch.manual_seed(0)
    model = GPT(GPTConfig(32, 3, 4, 0.0), tokens).eval()
    # Larger than at initialisation, so that attention is far from uniform.
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            parameter.data.mul_(5)
    return model


@torch.no_grad()
def test_the_cache_gives_the_logits_of_the_full_pass(tokens):
    model = small(tokens)
    index_BT = torch.randint(tokens.num_codes, (3, tokens.num_tokens))
    condition_BS = None if tokens.condition is None else torch.randint(tokens.condition.num_codes, (3, 16))
    full_BTV = model(index_BT, condition_BS)
    logits_BV, cache = model.begin(3, condition_BS)
    storage = cache.keys_LBHPE.data_ptr()
    for t in range(tokens.num_tokens):
        torch.testing.assert_close(logits_BV, full_BTV[:, t], atol=1e-5, rtol=1e-5)
        if t + 1 < tokens.num_tokens:
            logits_BV = model.decode(index_BT[:, t : t + 1], cache)
    assert cache.keys_LBHPE.data_ptr() == storage
    assert cache.length == len(model.transformer.positions)


@torch.no_grad()
def test_without_the_causal_mask_every_token_sees_all():
    """The same weights: a change of any token moves the features of all, and the last sees what it saw before."""
    torch.manual_seed(0)
    causal, full = (
        Transformer(TransformerConfig(32, 2, 4, 0.0), 9, causal=mask).double().eval() for mask in (True, False)
    )
    initialise(causal)
    for parameter in causal.parameters():
        parameter.data.mul_(5)
    full.load_state_dict(causal.state_dict())
    x_BTD = torch.randn(1, 9, 32).double()
    for place in range(9):
        other_BTD = x_BTD.clone()
        other_BTD[:, place] += torch.randn(32)
        moved_T = (full(other_BTD) - full(x_BTD)).abs().amax((0, 2)) > 1e-6
        assert moved_T.all()
        assert ((causal(other_BTD) - causal(x_BTD)).abs().amax((0, 2)) > 1e-6).tolist() == [
            at >= place for at in range(9)
        ]
    one_block = [
        Transformer(TransformerConfig(32, 1, 4, 0.0), 9, causal=mask).double().eval() for mask in (True, False)
    ]
    one_block[1].load_state_dict(one_block[0].state_dict())
    torch.testing.assert_close(one_block[0](x_BTD)[:, -1], one_block[1](x_BTD)[:, -1])


@torch.no_grad()
def test_a_full_cache_takes_no_more_tokens(tokens):
    model = small(tokens)
    condition_BS = None if tokens.condition is None else torch.zeros(1, 16, dtype=torch.int64)
    _, cache = model.begin(1, condition_BS)
    token_BT = torch.zeros(1, 1, dtype=torch.int64)
    for _ in range(tokens.num_tokens - 1):
        model.decode(token_BT, cache)
    with pytest.raises(ValueError, match="positions"):
        model.decode(token_BT, cache)


@torch.no_grad()
def test_any_cut_of_the_sequence_gives_the_logits_of_the_full_pass(tokens):
    model = small(tokens)
    index_BT = torch.randint(tokens.num_codes, (3, tokens.num_tokens))
    condition_BS = None if tokens.condition is None else torch.randint(tokens.condition.num_codes, (3, 16))
    full_BTV = model(index_BT, condition_BS)
    for first, second, third in ((0, 1, 5), (4, 2, 9), (7, 8, 0)):
        logits_BV, cache = model.begin(3, condition_BS, index_BT[:, :first])
        at = first
        torch.testing.assert_close(logits_BV, full_BTV[:, at], atol=1e-5, rtol=1e-5)
        for more in filter(None, (second, third)):
            logits_BV = model.decode(index_BT[:, at : at + more], cache)
            at += more
            torch.testing.assert_close(logits_BV, full_BTV[:, at], atol=1e-5, rtol=1e-5)
        assert cache.length == at + 1 + (0 if condition_BS is None else 16)


@torch.no_grad()
def test_spans_of_unequal_length_and_past_do_not_see_each_other(tokens):
    model = small(tokens)
    index_KBT = torch.randint(tokens.num_codes, (4, 3, tokens.num_tokens))
    condition_KBS = None if tokens.condition is None else torch.randint(tokens.condition.num_codes, (4, 3, 16))
    seen, new = (0, 5, 9, 1), (3, 1, 6, 7)
    spans, expected = [], []
    for k in range(4):
        condition_BS = None if condition_KBS is None else condition_KBS[k]
        expected.append(model(index_KBT[k], condition_BS)[:, seen[k] + new[k]])
        if k == 0:
            spans.append(Span(model.first_embeddings(3, condition_BS, index_KBT[k, :, : new[k]])))
            continue
        first = model.first_embeddings(3, condition_BS, index_KBT[k, :, : seen[k]])
        cache = model.new_cache(first, room=seen[k] + new[k])
        model.last_logits([Span(first, cache)])
        spans.append(Span(model.codes(index_KBT[k, :, seen[k] : seen[k] + new[k]]), cache))
    torch.testing.assert_close(model.last_logits(spans), torch.stack(expected), atol=1e-5, rtol=1e-5)
    assert all(span.cache.length == span.cache.keys_LBHPE.shape[3] for span in spans[1:])
    with pytest.raises(ValueError, match="positions"):
        model.last_logits([Span(model.codes(index_KBT[0, :, :1]), spans[1].cache)])


def test_equal_indices_of_image_and_condition_do_not_collide():
    tokens = TokenSpace(5, (2, 2), TokenSpace(5, (2, 2)))
    model = small(tokens)
    model(torch.zeros(1, 4, dtype=torch.int64), torch.full((1, 4), 2)).sum().backward()
    assert (model.codes.weight.grad[2] == 0).all()
    assert (model.condition_codes.weight.grad[2] != 0).any()
    assert (model.condition_codes.weight.grad[0] == 0).all()


def test_a_condition_must_be_given_where_there_is_one_and_only_there():
    index = torch.zeros(1, 4, dtype=torch.int64)
    with pytest.raises(TwostageError, match="condition"):
        small(TokenSpace(5, (2, 2)))(index, index)
    with pytest.raises(TwostageError, match="condition"):
        small(TokenSpace(5, (2, 2), TokenSpace(5, (2, 2))))(index)


def test_the_start_of_training_is_the_released_one():
    torch.manual_seed(0)
    model = GPT(GPTConfig(128, 2, 4, 0.0), TokenSpace(300, (4, 4)))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert (parameter == 0).all()
        elif "norm" in name:
            assert (parameter == 1).all()
        else:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.2), name


def test_heads_must_divide_the_width():
    with pytest.raises(TwostageError, match="num_heads=3"):
        GPT(GPTConfig(32, 1, 3, 0.0), TokenSpace(5, (2, 2)))
