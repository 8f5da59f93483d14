"""The order of dates, and what the parts of BIT compute."""

import numpy as np
import pytest
import torch
from tests.tasks.pyramids import SIZE, TASKS, WIDTHS, head_of, pyramid
from torch import nn
from torch.testing import assert_close

from ringmoe.tasks.heads import BITHead
from ringmoe.tasks.heads.attention import AttentionBlock, tokens_of


def test_swapping_the_dates_of_the_difference_head_changes_no_bit():
    """|a - b| and |b - a| are the same floating point number."""
    head = head_of(TASKS["difference"])
    first, second = pyramid(2, 0), pyramid(2, 1)
    assert torch.equal(head([first, second], SIZE), head([second, first], SIZE))


def test_swapping_the_dates_of_bit_changes_rounding_alone():
    """The encoder sums over tokens in another order, so the last bits may differ (float64)."""
    head = head_of(TASKS["bit"])
    first, second = pyramid(2, 0), pyramid(2, 1)
    scores = head([first, second], SIZE)
    assert scores.std() > 1e-3
    assert_close(scores, head([second, first], SIZE), atol=1e-12, rtol=1e-12)


def test_bit_gives_the_same_scores_everywhere_if_nothing_changed():
    """The difference is 0, so each pixel's scores are what two convolutions make of 0."""
    head = head_of(TASKS["bit"])
    same = pyramid(1)
    first, _, last = head.classify
    expected = last.weight[:, :, 0, 0] @ first.bias.relu() + last.bias
    assert_close(head([same, same], SIZE), expected[None, :, None, None].expand(1, 2, *SIZE))


def test_bits_tokens_know_of_the_other_date():
    """Of two pairs with the same first date, that date's tokens differ after the exchange."""
    head = head_of(TASKS["bit"])
    tokens = torch.randn(2, 4, 16, dtype=torch.float64)
    other = torch.stack([tokens[0], torch.randn(4, 16, dtype=torch.float64)])
    assert (head._exchange(tokens)[0] - head._exchange(other)[0]).abs().max() > 1e-3


def test_bits_tokens_are_weighted_means_of_pixels():
    """In NumPy: softmax over positions of a 1x1 convolution, times the pixels."""
    head = head_of(TASKS["bit"])
    image = torch.randn(2, 16, 3, 5, dtype=torch.float64)
    pixels = image.numpy().reshape(2, 16, 15)
    scores = np.einsum("tc,bcp->btp", head.tokenizer.weight.detach().numpy()[:, :, 0, 0], pixels)
    weights = np.exp(scores) / np.exp(scores).sum(axis=2, keepdims=True)
    expected = np.einsum("btp,bcp->btc", weights, pixels)
    assert_close(head._tokenise(image, tokens_of(image)), torch.from_numpy(expected))


@pytest.mark.parametrize("own", [True, False])
def test_attention_is_torchs(own):
    """`nn.MultiheadAttention` with the same matrices, between the same norms and sums."""
    torch.manual_seed(0)
    block = AttentionBlock(16, heads=4).double()
    theirs = nn.MultiheadAttention(16, 4, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([block.query.weight, block.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([block.query.bias, block.key_value.bias]))
        theirs.out_proj.load_state_dict(block.project.state_dict())
    tokens, context = torch.randn(2, 5, 16).double(), torch.randn(2, 7, 16).double()
    source = tokens if own else context
    q, kv = block.norm(tokens), block.norm(source)
    expected = tokens + theirs(q, kv, kv, need_weights=False)[0]
    expected = expected + block.mlp(expected)
    assert_close(block(tokens, None if own else context), expected)


def test_bit_has_the_papers_sizes_by_default():
    """4 tokens a date, 8 decoder layers of 8 heads (Chen et al. 2021)."""
    head = BITHead(WIDTHS, 2, 32)
    assert head.embedding.shape == (4, 32)
    assert len(head.decoder) == 8 and head.decoder[0].heads == 8
