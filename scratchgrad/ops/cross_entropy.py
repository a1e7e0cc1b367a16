"""The loss of predicted scores, or of their log-probabilities, against the classes that came."""

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module
from scratchgrad.dispatch import op
from scratchgrad.ops.loss import Reduction, reduced
from scratchgrad.tensor import raw

IGNORE_INDEX = -100  # a target that does not count, as in PyTorch


@op(takes="floats")
def cross_entropy(
    logits: Array,
    targets: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = IGNORE_INDEX,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
) -> tuple[Array, Backward]:
    """-log softmax(logits)[target]. logits (..., classes); targets integers of logits' leading shape, or floats of
    logits' shape: the probability of each class.

    Targets of `ignore_index` do not count, in the mean neither. label_smoothing: the share of the target that is spread
    over all classes (Szegedy et al. 2016, section 7). z_loss: times log(sum(e^logits))^2 is added, which keeps logits
    near 0 (Chowdhery et al. 2022, section 5). weight (classes,): times which a class counts; the mean of integer
    targets is then divided by the weights of the targets, as in PyTorch.
    """
    if weight is not None or targets.dtype.kind not in "iu":
        return _of_distributions(logits, targets, raw(weight), ignore_index, label_smoothing, z_loss, reduction)
    check_targets(logits.shape[:-1], targets, logits.shape[-1], ignore_index)
    gradient = logits.reshape(-1, logits.shape[-1]).copy()
    losses = softmax_minus_target(gradient, targets.reshape(-1), ignore_index, label_smoothing, z_loss)
    counted = (targets != ignore_index).sum()
    value, spread = reduced(losses.reshape(targets.shape), reduction, counted + (counted == 0))
    shape = logits.shape
    return value, lambda grad: (gradient.reshape(shape) * spread(grad)[..., None], None)


def _of_distributions(
    logits: Array,
    targets: Array,
    weight: Array | None,
    ignore_index: int,
    label_smoothing: float,
    z_loss: float,
    reduction: Reduction,
) -> tuple[Array, Backward]:
    """cross_entropy as -sum(target * weight * log softmax(logits)) of a target that names every class."""
    xp, classes, dtype = array_module(logits), logits.shape[-1], logits.dtype
    each = xp.ones(classes, dtype) if weight is None else weight.astype(dtype, copy=False)
    if each.shape != (classes,):
        raise ValueError(f"weight must have shape ({classes},), one number for each class, not {each.shape}")
    if targets.dtype.kind in "iu":
        check_targets(logits.shape[:-1], targets, classes, ignore_index)
        counted = targets != ignore_index
        known = xp.where(counted, targets, 0)
        told = (known[..., None] == xp.arange(classes)) & counted[..., None]
        total = (each[known] * counted).sum()
    else:
        if targets.shape != logits.shape:
            raise ValueError(f"targets of probabilities must have logits' shape {logits.shape}, not {targets.shape}")
        counted, told, total = xp.ones(logits.shape[:-1], bool), targets, xp.asarray(max(logits.size // classes, 1))
    smooth = (label_smoothing / classes * counted)[..., None]
    wanted = (((1 - label_smoothing) * told + smooth) * each).astype(dtype)
    log_p = logits - logits.max(axis=-1, keepdims=True)
    log_p -= xp.log(xp.exp(log_p).sum(axis=-1, keepdims=True))
    z = (logits - log_p)[..., 0] * counted
    losses = -xp.where(wanted == 0, 0, wanted * log_p).sum(axis=-1) + z_loss * z * z
    value, spread = reduced(losses.astype(dtype), reduction, total + (total == 0))

    def backward(grad: Array) -> tuple[Array, Array]:
        of_losses = spread(grad)[..., None]
        mass = wanted.sum(axis=-1, keepdims=True) + 2 * z_loss * z[..., None]
        of_targets = of_losses * -(1 - label_smoothing) * each * log_p
        return of_losses * (xp.exp(log_p) * mass - wanted), of_targets

    return value, backward


@op(takes="floats")
def nll_loss(
    log_probabilities: Array,
    targets: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = IGNORE_INDEX,
    reduction: Reduction = "mean",
) -> tuple[Array, Backward]:
    """-log_probabilities[target]. log_probabilities (..., classes); targets integers of its leading shape.

    weight (classes,): times which a class counts; the mean is divided by the weights of the targets.
    """
    xp, shape, dtype = array_module(log_probabilities), log_probabilities.shape, log_probabilities.dtype
    check_targets(shape[:-1], targets, shape[-1], ignore_index)
    counted = targets != ignore_index
    at = xp.where(counted, targets, 0)[..., None]
    share = counted if weight is None else counted * raw(weight).astype(dtype, copy=False)[at[..., 0]]
    total = share.sum()
    losses = xp.where(counted, share * -xp.take_along_axis(log_probabilities, at, axis=-1)[..., 0], 0)
    value, spread = reduced(losses, reduction, total + (total == 0))

    def backward(grad: Array) -> tuple[Array, None]:
        out = xp.zeros(shape, dtype)
        xp.put_along_axis(out, at, -(spread(grad) * share)[..., None].astype(dtype), axis=-1)
        return out, None

    return value, backward


def softmax_minus_target(logits: Array, ids: Array, ignore_index: int, label_smoothing: float, z_loss: float) -> Array:
    """The losses of these rows; `logits` becomes their gradient, softmax(logits) - target, or 0 where ignored.

    The target is 1 at the id; smoothed by s, 1 - s there and s / classes everywhere. With z = log(sum(e^logits)), a z
    loss of weight w adds w * z^2 to the loss and 2 * w * z * softmax(logits) to the gradient.
    """
    xp, classes = array_module(logits), logits.shape[1]
    counted = ids != ignore_index
    at = xp.arange(len(ids)), ids * counted
    top = logits.max(axis=-1)
    logits -= top[:, None]
    wanted = (1 - label_smoothing) * logits[at]
    if label_smoothing:
        wanted += label_smoothing * logits.mean(axis=-1)
    xp.exp(logits, out=logits)
    total = logits.sum(axis=-1)
    log_total = xp.log(total)
    losses = log_total - wanted
    share = counted / total
    if z_loss:
        z = log_total + top
        losses += z_loss * z * z
        share *= 1 + 2 * z_loss * z
    logits *= share.astype(logits.dtype)[:, None]
    logits[at] -= (1 - label_smoothing) * counted
    if label_smoothing:
        logits -= (counted * (label_smoothing / classes)).astype(logits.dtype)[:, None]
    return xp.where(counted, losses, 0)


def check_targets(shape: tuple[int, ...], targets: Array, classes: int, ignore_index: int) -> None:
    """ValueError where targets have another shape, TypeError where they are no integers, IndexError for a wrong one."""
    if targets.shape != shape:
        raise ValueError(f"targets must have the leading shape {shape}, not {targets.shape}")
    if targets.dtype.kind not in "iu":
        raise TypeError(f"targets must be integers, and they are {targets.dtype}: use .astype(int)")
    wrong = targets[((targets < 0) | (targets >= classes)) & (targets != ignore_index)]
    if wrong.size:
        raise IndexError(f"target {int(wrong[0])} is none of the {classes} classes")
