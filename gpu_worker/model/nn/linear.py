"""Matrix products, in the number type that a device computes fastest."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

Kind = Literal["fp32", "bf16", "fp16", "int8"]
Linear = Callable[[Tensor], Tensor]
"""Takes rows in any float type; answers in the type that it computes in (int8 answers fp32)."""

CHUNK = 128
"""Rows that the encoder sends through a layer together; weights are laid out for as many."""

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class Precision:
    """How each part of a model is computed; between the parts everything is fp32."""

    encoder: Kind
    decoder: Kind
    vocabulary: Kind


def bucket(rows: int) -> int:
    """Return ``rows`` rounded up so that few counts occur and little is wasted.

    oneDNN builds and keeps code for every new shape of a product: half a megabyte, a millisecond.
    """
    if rows <= 2:
        return rows
    step = next((step for most, step in ((4, 4), (8, 8), (64, 16), (128, 32)) if rows <= most), 64)
    return -(-rows // step) * step


EXACT = Precision(encoder="fp32", decoder="fp32", vocabulary="fp32")


def dtype_of(kind: Kind) -> torch.dtype:
    """Return the float type of a kind's results."""
    return _DTYPES.get(kind, torch.float32)


def linear(weight: Tensor, bias: Tensor | None, kind: Kind, device: torch.device, *, gelu: bool = False) -> Linear:
    """Prepare ``x → x·weightᵀ + bias`` on a device, with a GELU behind it if asked, from weights of any float type."""
    if kind == "int8":
        return _int8(weight.float(), None if bias is None else bias.float(), gelu=gelu)
    dtype = _DTYPES[kind]
    w = weight.to(device, dtype).contiguous()
    b = None if bias is None else bias.to(device, dtype).contiguous()
    if kind == "bf16" and device.type == "cpu":
        try:
            return _packed(w, b, gelu=gelu)
        except (RuntimeError, NotImplementedError, AttributeError):
            pass  # a torch without oneDNN, or a processor that oneDNN has no bf16 for

    def plain(x: Tensor) -> Tensor:
        y = F.linear(x.to(dtype), w, b)
        return F.gelu(y) if gelu else y

    return plain


def _packed(w: Tensor, b: Tensor | None, *, gelu: bool) -> Linear:
    """Reorder weights once for oneDNN's kernels; ``F.linear`` does so on every call.

    A decoder's products of one row take half the time (tiny.en: 0.62 against 1.36 ms for all layers), large ones
    8 % less, and the GELU is done on the way out, before rounding.
    """
    packed = torch.ops.mkldnn._reorder_linear_weight(w, CHUNK)  # noqa: SLF001 - torch's compiler calls it so
    run = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001 - the same
    after: tuple[str, list[float], str] = ("gelu", [], "none") if gelu else ("none", [], "")
    run(w.new_zeros(1, w.shape[1]), packed, b, *after)  # raises here where oneDNN cannot compute it

    def quick(x: Tensor) -> Tensor:
        result: Tensor = run(x.to(torch.bfloat16), packed, b, *after)
        return result

    return quick


def _int8(weight: Tensor, bias: Tensor | None, *, gelu: bool = False) -> Linear:
    """Quantize each output's weights to 8 bits once, and rows when they are multiplied."""
    scales = (weight.abs().amax(1) / 127).clamp(min=1e-12)
    with warnings.catch_warnings():
        # torch announces the end of this tensor type; where it is gone, `quickest` skips int8.
        warnings.simplefilter("ignore", UserWarning)
        rounded = torch.quantize_per_channel(
            weight, scales.double(), torch.zeros(len(weight), dtype=torch.long), 0, torch.qint8
        )
    packed = torch.ops.quantized.linear_prepack(rounded, bias)
    run = torch.ops.quantized.linear_dynamic

    def quantized(x: Tensor) -> Tensor:
        result: Tensor = run(x.float(), packed, False)  # noqa: FBT003 - positional in the operator
        return F.gelu(result) if gelu else result

    return quantized


def quickest(kinds: Sequence[Kind], *, width: int, rows: int, handicap: float = 1.25) -> Kind:
    """Measure which kind multiplies ``rows`` by a matrix of ``width`` to ``4·width`` fastest on this CPU.

    The kinds come in order of trust: a later one must be ``handicap`` times quicker than the best before it, so that
    noise does not cost accuracy. Kinds that this build of torch cannot compute are skipped.
    """
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4 * width, width, generator=generator)
    x = torch.randn(rows, width, generator=generator)
    best, best_s = kinds[0], float("inf")
    for kind in kinds:
        try:
            spent_s = _least_time(linear(weight, None, kind, torch.device("cpu")), x.to(dtype_of(kind)))
        except (RuntimeError, NotImplementedError, AttributeError):
            continue
        if spent_s * handicap < best_s:
            best, best_s = kind, spent_s
    return best


def _least_time(run: Linear, x: Tensor, repeats: int = 12) -> float:
    """Return the least CPU time of one call in seconds; longer ones were disturbed by other processes."""
    run(x)
    least = float("inf")
    for _ in range(repeats):
        before = time.thread_time()
        run(x)
        least = min(least, time.thread_time() - before)
    return least


def cpu_precision(width: int) -> Precision:
    """Choose how a model of ``width`` is computed on this CPU, by measuring."""
    encoder = quickest(("fp32", "bf16"), width=width, rows=256)
    return Precision(
        encoder=encoder,
        decoder=quickest(("fp32", "bf16"), width=width, rows=16),
        vocabulary=quickest((encoder, "int8"), width=width, rows=2),
    )
