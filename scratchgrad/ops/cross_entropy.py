"""The loss of predicted scores, or of their log-probabilities, against the classes that came."""

from scratchgrad.autograd import Backward
from scratchgrad.backend import Array, array_module
from scratchgrad.dispatch import op
from scratchgrad.ops.loss import Reduction, reduced

IGNORE_INDEX = -100  # a target that does not count, as in PyTorch


@op(takes="floats")
def cross_entropy(
    logits: Array,
    targets: Array,
    *,
    ignore_index: int = IGNORE_INDEX,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
) -> tuple[Array, Backward]:
    """-log softmax(logits)[target]. logits (..., classes); targets integers of logits' leading shape.

    Targets of `ignore_index` do not count, in the mean neither. label_smoothing: the share of the target that is spread
    over all classes (Szegedy et al. 2016, section 7). z_loss: times log(sum(e^logits))^2 is added, which keeps logits
    near 0 (Chowdhery et al. 2022, section 5).
    """
    check_targets(logits.shape[:-1], targets, logits.shape[-1], ignore_index)
    gradient = logits.reshape(-1, logits.shape[-1]).copy()
    losses = softmax_minus_target(gradient, targets.reshape(-1), ignore_index, label_smoothing, z_loss)
    counted = (targets != ignore_index).sum()
    value, spread = reduced(losses.reshape(targets.shape), reduction, counted + (counted == 0))
    shape = logits.shape
    return value, lambda grad: (gradient.reshape(shape) * spread(grad)[..., None], None)


@op(takes="floats")
def nll_loss(
    log_probabilities: Array, targets: Array, *, ignore_index: int = IGNORE_INDEX, reduction: Reduction = "mean"
) -> tuple[Array, Backward]:
    """-log_probabilities[target]. log_probabilities (..., classes); targets integers of its leading shape."""
    xp, shape, dtype = array_module(log_probabilities), log_probabilities.shape, log_probabilities.dtype
    check_targets(shape[:-1], targets, shape[-1], ignore_index)
    counted = targets != ignore_index
    at = xp.where(counted, targets, 0)[..., None]
    total = counted.sum()
    losses = xp.where(counted, -xp.take_along_axis(log_probabilities, at, axis=-1)[..., 0], 0)
    value, spread = reduced(losses, reduction, total + (total == 0))

    def backward(grad: Array) -> tuple[Array, None]:
        out = xp.zeros(shape, dtype)
        xp.put_along_axis(out, at, -(spread(grad) * counted)[..., None].astype(dtype), axis=-1)
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
