"""PyTorch's names: each does what the NumPy name does, or says what to write."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import scratchgrad as sg
from scratchgrad import Tensor, nn, optim
from scratchgrad import functional as F
from scratchgrad.methods import Methods
from scratchgrad.operators import FUNCTIONS, OPS
from scratchgrad.pytorch_names import MISSING, MISSING_IN

A = np.random.default_rng(0).standard_normal((2, 3, 4))
INDEX = np.array([[[0, 2], [1, 1]]])
SAME = {
    "view": (lambda x: x.view(6, 4), lambda x: x.reshape(6, 4)),
    "view of a tuple": (lambda x: x.view((-1, 4)), lambda x: x.reshape(6, 4)),
    "permute": (lambda x: x.permute(2, 0, 1), lambda x: x.transpose((2, 0, 1))),
    "unsqueeze": (lambda x: x.unsqueeze(-1), lambda x: F.expand_dims(x, axis=-1)),
    "unsqueeze(dim=)": (lambda x: x.unsqueeze(dim=0), lambda x: F.expand_dims(x, axis=0)),
    "squeeze": (lambda x: x[:1].squeeze(0), lambda x: x[0]),
    "flatten": (lambda x: x.flatten(), lambda x: x.reshape(24)),
    "flatten(1)": (lambda x: x.flatten(1), lambda x: x.reshape(2, 12)),
    "flatten(start_dim=)": (lambda x: x.flatten(start_dim=1, end_dim=2), lambda x: x.reshape(2, 12)),
    "relu": (lambda x: x.relu(), F.relu), "sigmoid": (lambda x: x.sigmoid(), F.sigmoid), "abs": (lambda x: x.abs(), F.abs),
    "softmax": (lambda x: x.softmax(1), lambda x: F.softmax(x, axis=1)),
    "softmax(dim=)": (lambda x: x.softmax(dim=-2), lambda x: F.softmax(x, axis=1)),
    "F.softmax": (lambda x: F.softmax(x, -2), lambda x: F.softmax(x, axis=1)),
    "F.log_softmax(dim=)": (lambda x: F.log_softmax(x, dim=0), lambda x: F.log_softmax(x, axis=0)),
    "pow": (lambda x: x.pow(2), lambda x: x * x), "neg": (lambda x: x.neg(), lambda x: -x),
    "matmul": (lambda x: x.matmul(x.swapaxes(1, 2)), lambda x: x @ x.swapaxes(1, 2)),
    "bmm": (lambda x: x.bmm(x.swapaxes(1, 2)), lambda x: x @ x.swapaxes(1, 2)),
    "mm, t": (lambda x: x[0].mm(x[0].t()), lambda x: x[0] @ x[0].T),
    "float": (lambda x: x.float(), lambda x: x.astype(np.float32)), "half": (lambda x: x.half(), lambda x: x.astype(np.float16)),
    "double": (lambda x: x.float().double(), lambda x: x.astype(np.float32).astype(np.float64)),
    "cpu": (lambda x: x.cpu(), lambda x: x * 1), "clone": (lambda x: x.clone(), lambda x: x.copy()),
    "contiguous": (lambda x: x.T.contiguous(), lambda x: x.T), "clip": (lambda x: x.clip(-1, 1), lambda x: F.clamp(x, min=-1, max=1)),
    "expand": (lambda x: x[:, :1].expand(-1, 5, 4), lambda x: F.broadcast_to(x[:, :1], shape=(2, 5, 4))),
    "expand, more axes": (lambda x: x.expand(7, -1, 3, -1), lambda x: F.broadcast_to(x, shape=(7, 2, 3, 4))),
    "masked_fill": (lambda x: x.masked_fill(A > 0, -1.0), lambda x: F.where(A > 0, -1.0, x)),
    "gather": (lambda x: x.gather(2, Tensor(INDEX)), lambda x: F.take_along_axis(x[:1, :2], INDEX, axis=2)),
    "F.gather": (lambda x: F.gather(x, -2, INDEX), lambda x: F.take_along_axis(x[:1, :, :2], INDEX, axis=1)),
    "sum(dim=, keepdim=)": (lambda x: x.sum(dim=1, keepdim=True), lambda x: x.sum(axis=1, keepdims=True)),
    "sum of several": (lambda x: x.sum(dim=(0, 2)), lambda x: x.sum(axis=(0, 2))),
    "F.mean(dim=)": (lambda x: F.mean(x, dim=1), lambda x: x.mean(axis=1)), "mean(1)": (lambda x: x.mean(1), lambda x: x.mean(axis=1)),
    "std(correction=)": (lambda x: x.std(dim=1, correction=1), lambda x: x.std(axis=1, ddof=1)),
    "norm(dim=)": (lambda x: x.norm(dim=1), lambda x: F.norm(x, axis=1)), "flip": (lambda x: x.flip(0, 1), lambda x: x[::-1, ::-1] * 1),
    "cumsum": (lambda x: x.cumsum(dim=1), lambda x: F.cumsum(x, axis=1)), "tril": (lambda x: x.tril(diagonal=1), lambda x: F.tril(x, k=1)),
    "F.cat": (lambda x: F.cat([x, x], 1), lambda x: F.concatenate(x, x, axis=1)),
    "F.cat(dim=)": (lambda x: F.cat((x, x), dim=-1), lambda x: F.concatenate(x, x, axis=-1)),
    "F.stack(dim=)": (lambda x: F.stack([x, x], dim=1), lambda x: F.stack(x, x, axis=1)),
    "F.unsqueeze": (lambda x: F.unsqueeze(x, 0), lambda x: x.reshape(1, 2, 3, 4)),
    "F.permute": (lambda x: F.permute(x, (1, 0, 2)), lambda x: x.swapaxes(0, 1)),
    "swapaxes(dim0=)": (lambda x: x.swapaxes(dim0=0, dim1=1), lambda x: x.swapaxes(0, 1)),
    "sort": (lambda x: x.sort(dim=1, descending=True)[0], lambda x: F.sort(x, axis=1, descending=True)[0]),
    "topk": (lambda x: x.topk(2, dim=1)[0], lambda x: F.topk(x, 2, axis=1)[0]),
    "F.clamp": (lambda x: F.clamp(x, -1, 1), lambda x: F.clamp(x, min=-1, max=1)),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_a_name_of_pytorch_is_the_op_of_ours_with_its_gradient(name):
    results = []
    for way in SAME[name]:
        x = Tensor(A.copy(), True)
        out = way(x)
        (out * out).sum().backward()
        results.append((out.shape, out.dtype, out.data.tobytes(), x.grad.tobytes()))
    assert results[0] == results[1]


B = np.random.default_rng(1).standard_normal((2, 3, 4))
K = (A * 4).astype(np.int64)
AT = np.random.default_rng(2).permuted(np.tile(np.arange(3), (2, 4, 1)), axis=2).swapaxes(1, 2).copy()  # no place twice
PLACES = np.array([2, 0])
# Each as in PyTorch, of a tensor and what makes a tensor; the first that comes out, and its gradient, are compared.
AS_THERE = {
    **{name: lambda x, of, name=name: getattr(x, name)() for name in (
        "cosh", "sinh", "tan", "trunc", "square", "exp2", "reciprocal", "nan_to_num", "isinf", "logical_not", "diagonal",
    )},
    **{name: lambda x, of, name=name: getattr(x.abs(), name)() for name in ("log2", "log10")},
    **{name: lambda x, of, name=name: getattr(x, name)(of(B)) for name in (
        "atan2", "fmod", "remainder", "floor_divide", "logaddexp", "isclose",
    )},
    **{name: lambda x, of, name=name: getattr(x, name)(of(A > 0)) for name in ("logical_and", "logical_or", "logical_xor")},
    **{name: lambda x, of, name=name: getattr(of(K), name)(of(K + 1)) for name in ("bitwise_and", "bitwise_or", "bitwise_xor")},
    "bitwise_not": lambda x, of: of(K).bitwise_not(), "lerp": lambda x, of: x.lerp(of(B), 0.3),
    "cumprod": lambda x, of: x.cumprod(1), "cumprod(dim=)": lambda x, of: x.cumprod(dim=2),
    "logcumsumexp": lambda x, of: x.logcumsumexp(dim=1), "quantile": lambda x, of: x.quantile(0.3, dim=1),
    "diagonal(offset)": lambda x, of: x.diagonal(1), "roll": lambda x, of: x.roll(1, 2),
    "roll(shifts=)": lambda x, of: x.roll(shifts=1, dims=0), "broadcast_to": lambda x, of: x.broadcast_to((5, 2, 3, 4)),
    "unfold": lambda x, of: x.unfold(2, 2, 1), "masked_scatter": lambda x, of: x.masked_scatter(of(A > 0), of(B)),
    "scatter": lambda x, of: x.scatter(1, of(AT), of(B)), "scatter(dim=)": lambda x, of: x.scatter(dim=1, index=of(AT), src=of(B)),
    "scatter_add": lambda x, of: x.scatter_add(1, of(AT), of(B)),
    "scatter_reduce": lambda x, of: x.scatter_reduce(1, of(AT), of(B), "amax"),
    "scatter_reduce(reduce=)": lambda x, of: x.scatter_reduce(1, of(AT), of(B), reduce="prod", include_self=False),
    "index_add": lambda x, of: x.index_add(1, of(PLACES), of(B[:, :2])),
    "index_copy": lambda x, of: x.index_copy(1, of(PLACES), of(B[:, :2])),
}  # fmt: skip


@pytest.mark.parametrize("name", AS_THERE)
def test_a_method_is_called_as_there(name):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x, peer = Tensor(A.copy(), True), torch.tensor(A, requires_grad=True)
    out, wanted = AS_THERE[name](x, Tensor), AS_THERE[name](peer, torch.tensor)
    assert (out.shape, out.dtype.name) == (wanted.shape, str(wanted.dtype).removeprefix("torch."))
    np.testing.assert_allclose(out.data, wanted.detach().numpy(), rtol=1e-6)
    assert out.requires_grad == wanted.requires_grad
    if out.requires_grad and name != "floor_divide":  # of which PyTorch knows no derivative
        (out * out).sum().backward()
        (wanted * wanted).sum().backward()
        np.testing.assert_allclose(x.grad, peer.grad.numpy(), rtol=1e-6)


def test_names_without_gradients():
    x = Tensor(A)
    assert (x.dim(), x.numel()) == (3, 24)
    assert x.long().dtype == np.int64
    assert (x.int().dtype, x.bool().dtype) == (np.int32, np.bool_)
    assert Tensor([1.0]).requires_grad_().requires_grad
    constant = x.cpu()
    assert constant is not x  # unlike to(), which moves the tensor itself


def test_every_method_of_the_table_is_a_function_of_the_same_room():
    rows = [name for name in vars(Methods) if not name.startswith("_")]
    assert len(rows) > 60
    for name in rows:
        assert getattr(Methods, name).__name__ in {**OPS, **FUNCTIONS}, name
    assert not [name for name in MISSING if hasattr(Tensor, name)]


def test_what_is_said_to_be_written_is_there_and_what_is_missing_is_not():
    for module in (sg, nn, optim):
        for name, written in MISSING_IN[module.__name__].items():
            assert not hasattr(module, name), name
            for room, word in re.findall(r"\b(F|optim)\.(\w+)", written):
                assert hasattr({"F": F, "optim": optim}[room], word), written


def test_a_parameter_is_made_of_a_tensor_and_learns():
    start = sg.ones(2, 2)

    class Product(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(start)

        def forward(self, x):
            return x @ self.weight

    net = Product()
    optimizer = optim.AdamW(net.parameters(), lr=0.1)
    net(sg.ones(3, 2)).sum().backward()
    optimizer.step()
    assert type(net.weight.data) is np.ndarray
    assert (net.weight.data < 1).all()
    assert "requires_grad=True" in repr(nn.Parameter(sg.zeros(2)))
    assert not start.requires_grad
    net.weight.data = sg.zeros(2, 2)
    assert type(net.weight.data) is np.ndarray
    assert not net(sg.ones(3, 2)).data.any()


def test_tensors_are_made_as_in_pytorch():
    source = np.ones(2)
    made = sg.tensor(source)
    source += 1
    assert made.tolist() == [1, 1]
    assert [sg.tensor(data).dtype for data in ([1.0], [1], 2.5, source)] == [
        np.float32,
        np.int64,
        np.float32,
        np.float64,
    ]
    assert sg.tensor([1, 2], dtype=np.float32, requires_grad=True).requires_grad
    for make in (sg.zeros, sg.ones, sg.rand, sg.randn):
        assert make((2, 3)).shape == make([2, 3]).shape == make(2, 3).shape == (2, 3)
        assert make().shape == make(()).shape == ()


X = Tensor(A)


@pytest.mark.parametrize(("write", "error", "words"), [
    (lambda: X.index_select(0, 1), AttributeError, r"Tensor has no 'index_select'; write F\.take\(x, indices, axis=axis\)"),
    (lambda: X.cummax(1), AttributeError, r"write F\.cummax\(x, axis\), the values alone"),
    (lambda: X.median(), AttributeError, r"write F\.median\(x, axis\), which halves between the middle two"),
    (lambda: X.silu(), AttributeError, r"has no 'silu'; write F\.silu\(x\)"),
    (lambda: X.zero_(), AttributeError, r"has no 'zero_'; to change a tensor in place write x \+= y"),
    (lambda: X.split(2), AttributeError, "takes the number of parts"), (lambda: X.requires_gard, AttributeError, "no attribute"),
    (lambda: X.nothing_like_it, AttributeError, "no attribute 'nothing_like_it'"),
    (lambda: sg.cat([X, X]), AttributeError, r"scratchgrad has no 'cat'; write F\.cat\(\.\.\.\), with scratchgrad\.functional as F"),
    (lambda: sg.matmul(X, X), AttributeError, r"write F\.matmul"), (lambda: sg.from_numpy(A), AttributeError, r"write Tensor\(array\)"),
    (lambda: sg.float32, AttributeError, r"write np\.float32"), (lambda: sg.tensr, AttributeError, "no 'tensr'; did you mean 'tensor'"),
    (lambda: nn.CrossEntropyLoss(), AttributeError, r"scratchgrad\.nn has no 'CrossEntropyLoss'; write F\.cross_entropy\(logits"),
    (lambda: nn.Layernorm(3), AttributeError, "did you mean 'LayerNorm'"), (lambda: nn.LSTM(3, 3), AttributeError, "nn has no 'LSTM'$"),
    (lambda: nn.utils.clip_grad_norm_([]), AttributeError, r"write optim\.clip_grad_norm_"),
    (lambda: optim.lr_scheduler, AttributeError, r"write a schedule for lr: AdamW\(params, lr=optim\.cosine"),
    (lambda: F.embedding(np.array([0]), A[0]), TypeError, r"the order is \(weight, ids\)"),
    (lambda: F.layer_norm(X, (4,)), TypeError, r"layer_norm\(\): 'weight' is a tuple; x, weight, bias are tensors, arrays or numbers"),
    (lambda: nn.Linear(2, 1)([[1.0, 2.0]]), TypeError, r"linear\(\): 'x' is a list; x, weight, bias are tensors, arrays or numbers"),
    (lambda: sg.tensor(None), TypeError, "a tensor holds numbers; a NoneType"), (lambda: sg.tensor(["a"]), TypeError, "holds numbers; a list"),
    (lambda: F.chunk(X, 2), AttributeError, r"functional has no 'chunk'; write F\.split"),
    (lambda: F.sofmax(X), AttributeError, "did you mean 'softmax'"),
    (lambda: X.max(dim=1), TypeError, r"max\(dim=...\) is a pair in PyTorch; write x.max\(axis=...\)"),
    (lambda: X.std(dim=1), TypeError, r"divides by n - 1 in PyTorch and by n in NumPy; say which: correction=1"),
    (lambda: X.transpose(1, 2), ValueError, r"each of the 3 axes must be named once; swapaxes\(\) swaps two"),
    (lambda: F.transpose(X, 1, 2), TypeError, r"swapaxes\(a, b\) swaps two"), (lambda: F.norm(X, 1), TypeError, "name both here"),
    (lambda: F.relu(X, True), TypeError, r"relu\(\) takes x; 2 arguments came"),
    (lambda: F.sum(X, 1, axis=1), TypeError, "'axis' is given twice"), (lambda: X.sum(axis=1, dim=1), TypeError, "given twice"),
    (lambda: X.sum(dims=1, nothing=2), TypeError, r"sum\(x .*nothing"), (lambda: X.sum(dim=7), np.exceptions.AxisError, "axis 7 is none of"),
    (lambda: X.expand(-1, 2, 3, 4), ValueError, "a new axis has none"), (lambda: X.gather(0, np.array([1])), ValueError, "1 axes and x 3"),
])  # fmt: skip
def test_what_is_not_here_says_what_to_write(write, error, words):
    with pytest.raises(error, match=words) as caught:
        write()
    assert len(str(caught.value)) < 300


def test_a_type_checker_knows_the_names_and_no_others(tmp_path):
    pytest.importorskip("mypy", reason="mypy is not installed")
    good = "import scratchgrad as sg\nfrom scratchgrad import functional as F\nx = sg.tensor([1.0]).view(1, 1).relu()\n"
    root = Path(__file__).parents[2]
    for line, code in (
        ("F.cat([x, x.unsqueeze(0)], 1).sum(dim=1).backward()", 0),
        ("x.nonsense()", 1),
        ("F.nonsense", 1),
    ):
        (tmp_path / "a.py").write_text(good + line + "\n")
        command = [sys.executable, "-m", "mypy", "--cache-dir", root / ".mypy_cache", tmp_path / "a.py"]
        path = {**os.environ, "MYPYPATH": str(root)}
        ran = subprocess.run(command, cwd=root, env=path, capture_output=True, text=True)
        assert ran.returncode == code, ran.stdout + ran.stderr
        assert ("nonsense" in ran.stdout) == bool(code)
