import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.models.samples import difference, randomise
from timm.models.swin_transformer_v2 import SwinTransformerV2Block
from timm.models.swin_transformer_v2 import WindowAttention as TimmWindowAttention
from torch import Tensor

from ringmoe.models.attention import WindowAttention
from ringmoe.models.windows import partition, plan_windows, unpartition

DIM, HEADS = 12, 3


def make_attention(window: int, reference: int | None = None, **options: bool) -> WindowAttention:
    attention = WindowAttention(DIM, HEADS, window, reference or window, **options).double()
    randomise(attention)
    with torch.no_grad():  # one temperature above the clamp at log(100), two below
        attention.logit_scale.copy_(torch.tensor([5.0, 2.0, 1.0]).view(3, 1, 1))
    return attention


def timm_names(attention: WindowAttention) -> dict[str, Tensor]:
    return attention.state_dict()  # the parametrisation is the same, down to the names


@pytest.mark.parametrize("size", [(4, 4), (3, 5), (1, 4), (1, 1)])
def test_equals_timm_with_the_same_weights(size):
    """Outputs and the gradients of every parameter, with a mask, in float64."""
    ours = make_attention(4, reference=9)
    timm = TimmWindowAttention(DIM, size, HEADS, pretrained_window_size=(9, 9)).double()
    timm.load_state_dict(timm_names(ours))
    tokens = size[0] * size[1]
    x = torch.randn(6, tokens, DIM, dtype=torch.float64)
    mask = torch.where(torch.rand(2, tokens, tokens) < 0.3, -100.0, 0.0).double()
    mask -= torch.diag_embed(torch.diagonal(mask, dim1=1, dim2=2))  # each sees itself
    a, b = ours.attend(x, size, mask), timm(x, mask)
    assert difference(a, b) < 1e-12
    weight = torch.randn_like(a)  # the gradient of a plain sum would be blind to much
    (a * weight).sum().backward()
    (b * weight).sum().backward()
    for name, parameter in timm.named_parameters():
        expected = parameter.grad
        if expected.abs().max() > 0:
            assert difference(ours.get_parameter(name).grad, expected) < 1e-9, name


@pytest.mark.parametrize(
    ("height", "width", "window"), [(8, 8, 4), (12, 6, 6), (4, 4, 8), (8, 4, 4)]
)
@pytest.mark.parametrize("shifted", [False, True])
def test_a_shifted_map_equals_timms_block(height, width, window, shifted):
    """Roll, cut, mask, join and roll back, also where the window is clipped to the map.

    timm masks by adding -100, which leaks 3e-4 at the highest temperature, where logits reach
    +-100; ours is minus infinity. At a temperature of e^2 both are 0.
    """
    ours = make_attention(window, shifted=shifted)
    torch.nn.init.constant_(ours.logit_scale, 2.0)
    block = SwinTransformerV2Block(
        DIM,
        (height, width),
        HEADS,
        window_size=window,
        shift_size=window // 2 if shifted else 0,
        pretrained_window_size=window,
    ).double()
    block.attn.load_state_dict(timm_names(ours))
    x = torch.randn(2, height, width, DIM, dtype=torch.float64)
    assert difference(ours(x), block._attn(x)) < 1e-12


def attention_by_definition(attention: WindowAttention, x: Tensor) -> Tensor:
    """Token by token: which others share its window and its side of the seam; then softmax."""
    height, width = x.shape[1:3]
    plan = plan_windows(height, width, attention.window, attention.shifted)
    qkv = x @ attention.qkv.weight.t()
    q, k, v = qkv.split(DIM, dim=-1)
    q, v = q + attention.q_bias, v + attention.v_bias
    scale = attention.logit_scale.flatten().clamp(max=math.log(100)).exp()

    def cell(row: int, column: int) -> tuple[int, ...]:
        rolled = [(row - plan.shift[0]) % height, (column - plan.shift[1]) % width]
        wrapped = [row < plan.shift[0], column < plan.shift[1]]
        return (rolled[0] // plan.size[0], rolled[1] // plan.size[1], *wrapped)

    def bias(down: int, right: int, head: int) -> Tensor:
        offsets = torch.tensor([down, right], dtype=torch.float64)
        scaled = 8 * offsets / (attention.reference - 1)
        coordinates = scaled.sign() * torch.log2(scaled.abs() + 1) / math.log2(8)
        return 16 * attention.cpb_mlp(coordinates)[head].sigmoid()

    places = [(row, column) for row in range(height) for column in range(width)]
    out = torch.empty_like(x)
    part = DIM // HEADS
    for here in places:
        seen = [there for there in places if cell(*there) == cell(*here)]
        for head in range(HEADS):
            chosen = slice(head * part, (head + 1) * part)
            query = q[0, *here, chosen]
            keys = torch.stack([k[0, *there, chosen] for there in seen])
            values = torch.stack([v[0, *there, chosen] for there in seen])
            cosine = torch.cosine_similarity(keys, query[None], dim=-1, eps=0)
            biases = torch.stack(
                [bias(here[0] - there[0], here[1] - there[1], head) for there in seen]
            )
            out[0, *here, chosen] = (cosine * scale[head] + biases).softmax(0) @ values
    return attention.proj(out)


@pytest.mark.parametrize(
    ("height", "width", "window", "shifted"),
    [(5, 7, 4, False), (5, 7, 4, True), (3, 6, 4, True), (2, 3, 4, True)],
)
@torch.no_grad()
def test_padding_is_never_attended(height, width, window, shifted):
    """Maps that the window does not divide: real tokens see real tokens of their window alone."""
    attention = make_attention(window, shifted=shifted)
    x = torch.randn(1, height, width, DIM, dtype=torch.float64)
    # the table of coordinates is float32, as timm's
    assert difference(attention(x), attention_by_definition(attention, x)) < 1e-6


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    window=st.integers(1, 6),
    shifted=st.booleans(),
)
def test_any_map_is_served_and_every_output_is_finite(height, width, window, shifted):
    attention = make_attention(window, reference=4, shifted=shifted)
    x = torch.randn(2, height, width, DIM, dtype=torch.float64, requires_grad=True)
    out = attention(x)
    out.square().sum().backward()
    assert out.shape == x.shape
    assert out.isfinite().all() and x.grad.isfinite().all()


@given(rows=st.integers(1, 3), columns=st.integers(1, 3), h=st.integers(1, 4), w=st.integers(1, 4))
def test_joining_undoes_cutting(rows, columns, h, w):
    x = torch.randn(2, rows * h, columns * w, 3)
    assert torch.equal(unpartition(partition(x, (h, w)), (h, w), rows * h, columns * w), x)


def test_an_offset_means_the_same_in_every_window():
    """Two tokens k apart get the bias of k tokens, whether the window is 3 wide or 6."""
    attention = make_attention(6)
    small = attention.position_bias((3, 3)).view(HEADS, 3, 3, 3, 3)
    large = attention.position_bias((6, 6)).view(HEADS, 6, 6, 6, 6)
    assert torch.allclose(small, large[:, :3, :3, :3, :3], rtol=1e-12)


def test_the_gradient_of_a_zero_vector_is_finite():
    """Padding is all zeros, and so are its keys: no NaN may come out of their length."""
    attention = make_attention(4)
    with torch.no_grad():
        attention.qkv.weight.zero_()
        attention.q_bias.zero_()
    x = torch.randn(1, 4, 4, DIM, dtype=torch.float64, requires_grad=True)
    attention(x).sum().backward()
    assert x.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in attention.parameters())


class TestChanges:
    """Whatever changed since the last call, and however, counts at the next."""

    def test_of_data_as_a_moving_average_makes_them(self):
        attention = make_attention(4).eval()
        with torch.no_grad():
            before = attention.position_bias((4, 4)).clone()
            attention.cpb_mlp[2].weight.data.mul_(-1)  # not counted in `_version`
            after = attention.position_bias((4, 4))
        assert torch.allclose(after, 16 - before)  # 16 sigmoid(-z) = 16 - 16 sigmoid(z)

    def test_of_layers_that_take_others_place(self):
        """As adapters do."""
        attention = make_attention(4).eval()
        with torch.no_grad():
            attention.position_bias((4, 4))
            attention.cpb_mlp[2] = torch.nn.Linear(512, HEADS, bias=False).double()
            attention.cpb_mlp[2].weight.zero_()
            assert (attention.position_bias((4, 4)) == 8).all()  # 16 sigmoid(0)

    def test_of_autocast(self):
        attention = make_attention(4).float().eval()
        with torch.no_grad():
            before = attention.position_bias((4, 4)).clone()
            with torch.autocast("cpu", torch.bfloat16):
                attention.position_bias((4, 4))
            assert torch.equal(attention.position_bias((4, 4)), before)

    def test_inference_mode_first_and_training_later(self):
        """Constants made under inference mode must not stop a later backward pass."""
        attention = make_attention(5, shifted=True)  # a window no other test uses
        x = torch.randn(1, 11, 11, DIM, dtype=torch.float64)
        with torch.inference_mode():
            first = attention.eval()(x).clone()
        second = attention.train()(x)
        second.sum().backward()
        assert difference(second.detach(), first) < 1e-12


def test_bfloat16_keeps_logits_in_float32():
    """bfloat16 weights: within 0.05 of float64, the error that the design allows.

    Logits rounded to bfloat16 would err by up to 0.13 (`performance.md` of the design).
    """
    attention = WindowAttention(64, 2, 8, 8)
    for module in (attention.qkv, attention.proj):
        torch.nn.init.trunc_normal_(module.weight, std=0.1)
        torch.nn.init.zeros_(attention.proj.bias)
    attention.reset_parameters()
    x = torch.randn(8, 8, 8, 64)
    with torch.no_grad():
        exact = attention.double()(x.double())
        rounded = attention.bfloat16()(x.bfloat16()).double()
    assert (rounded - exact).abs().max() < 0.05 * max(1.0, float(exact.abs().max()))
