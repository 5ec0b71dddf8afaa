"""Every operation of the tracer's tables that the other modules leave out: of six numbers a row, one call each."""

import torch
from devious import D, Module
from torch.nn import functional as F

aten = torch.ops.aten
random = torch.Generator().manual_seed(4)
MATRIX, WEIGHT, BIAS = (torch.randn(*shape, dtype=D, generator=random) for shape in ((6, 6), (6,), (6,)))
STATISTICS = (WEIGHT, BIAS, BIAS, WEIGHT.abs() + 0.5)
PLACE = torch.tensor([2, 0, 2])
GRID = 2 * torch.rand(1, 2, 2, 2, 3, dtype=D, generator=random) - 1


def line(z):
    return z[:, None]


def image(z):
    return z.reshape(-1, 1, 2, 3)


def volume(z):
    return z.reshape(-1, 1, 1, 2, 3)


def rows(z):
    return z.reshape(-1, 2, 3)


def both(z):
    return torch.complex(z, 0.5 * z.flip(1))


def unpooled(z):
    values, places = F.max_pool3d(volume(z), (1, 2, 1), return_indices=True)
    return F.max_unpool3d(values, places, (1, 2, 1))


def over(z, call, *args):
    """An operation that writes over a copy."""
    copy = z.clone()
    call(copy, *args)
    return copy


# What selects among pieces.
SELECT = {
    "adaptive_max_pool3d": lambda z: F.adaptive_max_pool3d(volume(z), (1, 1, 2)), "amin": lambda z: z.amin(1),
    "argmin": lambda z: torch.take_along_dim(z, z.argmin(1, True), 1), "clamp_max": lambda z: torch.clamp_max(z, 0.3),
    "clamp_min": lambda z: torch.clamp_min(z, -0.2), "fmax": lambda z: torch.fmax(z, z.flip(1)), "fmin": lambda z: torch.fmin(
        z, -z), "le": lambda z: z * (z <= 0.1), "max": lambda z: z.max(1).values, "min": lambda z: z.min(1, True)[0],
    "max_pool3d_with_indices": lambda z: F.max_pool3d(volume(z), (1, 2, 2), 1), "norm": lambda z: aten.norm(z, 1, [1], True),
    "sgn": lambda z: z * torch.sgn(z)}
# What is affine, mostly.
AFFINE = {
    "_adaptive_avg_pool2d": lambda z: F.adaptive_avg_pool2d(image(z), 2),
    "_adaptive_avg_pool3d": lambda z: F.adaptive_avg_pool3d(volume(z), (1, 2, 2)),
    "_batch_norm_no_update": lambda z: aten._batch_norm_no_update(z, *STATISTICS, 0.1, 1e-5)[0],
    "_native_batch_norm_legit": lambda z: aten._native_batch_norm_legit(z, *STATISTICS, False, 0.1, 1e-5)[0],
    "_native_batch_norm_legit_no_training": lambda z: aten._native_batch_norm_legit_no_training(z, *STATISTICS, 0.1, 1e-5)[0],
    "_conj": lambda z: torch.view_as_real(torch.conj(both(z)).resolve_conj()),
    "_conj_physical": lambda z: torch.view_as_real(aten._conj_physical(both(z))),
    "conj_physical": lambda z: torch.view_as_real(both(z).conj_physical_()),
    "_fft_c2c": lambda z: torch.view_as_real(torch.fft.fft(both(z))), "_neg_view": lambda z: torch.conj(both(z)).imag,
    "_index_put_impl": lambda z: over(z, lambda y: aten._index_put_impl_(y, [None, PLACE[:2]], 2 * z[:, :2])),
    "_reshape_alias": lambda z: aten._reshape_alias(z, [len(z), 6], [6, 1]),
    "_unsafe_index": lambda z: aten._unsafe_index(z, [None, PLACE]),
    "_unsafe_index_put": lambda z: aten._unsafe_index_put(z, [None, PLACE[:2]], -z[:, :2]),
    "_unsafe_masked_index": lambda z: aten._unsafe_masked_index(z, torch.ones(len(z), 3, dtype=torch.bool), [
        None, PLACE], 0.5),
    "_upsample_bicubic2d_aa": lambda z: F.interpolate(image(z), size=(1, 2), mode="bicubic", antialias=True),
    "_upsample_bilinear2d_aa": lambda z: F.interpolate(image(z), size=(1, 2), mode="bilinear", antialias=True),
    "_upsample_nearest_exact1d": lambda z: F.interpolate(line(z), size=4, mode="nearest-exact"),
    "_upsample_nearest_exact2d": lambda z: F.interpolate(image(z), size=2, mode="nearest-exact"),
    "_upsample_nearest_exact3d": lambda z: F.interpolate(volume(z), size=2, mode="nearest-exact"),
    "addbmm": lambda z: torch.cat([torch.addbmm(one, MATRIX[None, :1, :2], row[None], alpha=-2) for one, row in zip(
        z[:, None, :3], rows(z), strict=True)]),
    "addcdiv": lambda z: torch.addcdiv(z, z.flip(1), WEIGHT, value=-1), "addcmul": lambda z: torch.addcmul(
        z, z, WEIGHT, value=-2),
    "addmv": lambda z: torch.stack([torch.addmv(row, MATRIX, row, beta=-1) for row in z]),
    "addr": lambda z: torch.stack([torch.addr(BIAS[:2, None].expand(2, 6), WEIGHT[:2], row, alpha=-1) for row in z]),
    "as_strided": lambda z: torch.as_strided(z.contiguous(), (len(z), 3), (6, 2), 1),
    "as_strided_scatter": lambda z: torch.as_strided_scatter(z, -z[:, :3], (len(z), 3), (6, 2), 1),
    "avg_pool3d": lambda z: F.avg_pool3d(volume(z), (1, 2, 2), 1),
    "baddbmm": lambda z: torch.baddbmm(rows(z)[:, :, :2], rows(z), MATRIX[:3, :2].expand(len(z), -1, -1), beta=-0.5),
    "copy": lambda z: over(z, lambda y: y[:, :3].copy_(z[:, 3:])), "diag_embed": lambda z: torch.diag_embed(z).sum(1),
    "diagonal_copy": lambda z: torch.diagonal_copy(rows(z), 0, 1, 2),
    "diagonal_scatter": lambda z: torch.diagonal_scatter(rows(z), -2 * z[:, :2], 0, 1, 2),
    "dot": lambda z: torch.stack([torch.dot(row, WEIGHT) for row in z])[:, None], "expand_copy": lambda z: torch.expand_copy(
        z[:, :1], (-1, 3)), "fill": lambda z: over(z, lambda y: y[:, 1:3].fill_(0.5)),
    "grid_sampler_3d": lambda z: F.grid_sample(volume(z), GRID.expand(len(z), -1, -1, -1, -1), align_corners=True),
    "index_add": lambda z: torch.index_add(z, 1, PLACE, z[:, :3], alpha=-2), "index_copy": lambda z: torch.index_copy(
        z, 1, PLACE[:2], -z[:, :2]), "index_fill": lambda z: torch.index_fill(z, 1, PLACE, 0.5),
    "index_select": lambda z: torch.index_select(z, 1, PLACE), "lerp": lambda z: torch.lerp(z, z.flip(1), WEIGHT),
    "lift_fresh_copy": lambda z: aten.lift_fresh_copy(z), "linalg_cross": lambda z: torch.linalg.cross(
        rows(z), MATRIX[:2, :3].expand(len(z), -1, -1)), "max_unpool3d": unpooled, "mean": lambda z: z.mean(1),
    "channel_shuffle": lambda z: F.channel_shuffle(z[..., None, None], 2), "permute_copy": lambda z: (
        torch.permute_copy(rows(z), (0, 2, 1))), "pixel_unshuffle": lambda z: F.pixel_unshuffle(image(z)[..., :2], 2),
    "reflection_pad1d": lambda z: F.pad(line(z), (2, 1), mode="reflect"), "reflection_pad2d": lambda z: F.pad(
        image(z), (1, 1, 1, 0), mode="reflect"), "reflection_pad3d": lambda z: F.pad(
            volume(z), (1, 1, 0, 1, 0, 0), mode="reflect"),
    "replication_pad1d": lambda z: F.pad(line(z), (2, 1), mode="replicate"), "replication_pad2d": lambda z: F.pad(
        image(z), (1, 1, 1, 0), mode="replicate"), "replication_pad3d": lambda z: F.pad(
            volume(z), (1, 1, 0, 1, 1, 0), mode="replicate"), "roll": lambda z: torch.roll(z, 2, 1),
    "rot90": lambda z: torch.rot90(rows(z), 1, (1, 2)), "rsub": lambda z: torch.rsub(z, z.flip(1), alpha=2),
    "scatter": lambda z: torch.scatter(z, 1, PLACE[:2].expand(len(z), -1), -z[:, :2]),
    "scatter_add": lambda z: torch.scatter_add(z, 1, PLACE.expand(len(z), -1), -z[:, :3]),
    "select_copy": lambda z: torch.select_copy(z, 1, 2), "select_scatter": lambda z: torch.select_scatter(z, -z[:, 0], 1, 3),
    "slice_copy": lambda z: torch.slice_copy(z, 1, 1, 5, 2), "slice_scatter": lambda z: torch.slice_scatter(
        z, -z[:, :2], 1, 0, 4, 2),
    "split": lambda z: torch.split(z, 4, 1)[1], "split_with_sizes": lambda z: torch.split(z, [1, 3, 2], 1)[1],
    "squeeze_copy": lambda z: torch.squeeze_copy(line(z), 1), "trace": lambda z: torch.stack(
        [torch.trace(row) for row in rows(z)]),
    "transpose_copy": lambda z: torch.transpose_copy(rows(z), 1, 2), "triu": lambda z: torch.triu(rows(z)),
    "unsafe_split": lambda z: torch.unsafe_split(z, 4, 1)[0], "unsqueeze_copy": lambda z: torch.unsqueeze_copy(z, 1),
    "upsample_linear1d": lambda z: F.interpolate(line(z), size=4, mode="linear"),
    "upsample_nearest1d": lambda z: F.interpolate(line(z), size=4), "upsample_nearest2d": lambda z: F.interpolate(
        image(z), size=2),
    "upsample_nearest3d": lambda z: F.interpolate(volume(z), size=2), "upsample_trilinear3d": lambda z: F.interpolate(
        volume(z), size=2, mode="trilinear"), "view_as_complex": lambda z: torch.view_as_complex(z.reshape(-1, 3, 2)).real,
    "view_as_real_copy": lambda z: torch.view_as_real_copy(both(z)), "view_copy": lambda z: torch.view_copy(z, (-1, 2, 3)),
    "zero": lambda z: over(z, lambda y: y[:, :2].zero_())}


class Reads(Module):
    """Some of the operations on a hidden layer, behind rectifiers if they are affine; all that they return, or mixtures of it."""

    def __init__(self, names, mixed=True):
        super().__init__()
        self.names, self.mixed = names, mixed
        self.register_buffer("mixing", torch.randn(2000, 3, dtype=D, generator=torch.Generator().manual_seed(6)))

    def forward(self, x):
        z = self.first(x)
        found = [SELECT[name](z) if name in SELECT else AFFINE[name](z.relu()) for name in self.names]
        # Times 1: torch's derivative of complex numbers wants a gradient that is not a slice of another.
        found = torch.cat([1.0 * each.reshape(len(x), -1) for each in found], 1)
        return found @ self.mixing[:found.shape[1]] if self.mixed else found


EVERY = [*SELECT, *AFFINE]
# Made of other operations, which are seen in their place; of other devices; or refused always (statistics of the batch).
NEVER_SEEN = frozenset("""adaptive_avg_pool1d avg_pool1d chunk contiguous flatten linear matmul movedim narrow
    native_channel_shuffle reshape resolve_conj resolve_neg real imag unflatten convolution_overrideable cudnn_batch_norm
    miopen_batch_norm
    cudnn_convolution cudnn_grid_sampler _batch_norm_with_update""".split())
# Torch's derivative leaves what was written over in the map.
REFUSED = ("as_strided_scatter",)
# Ten operations at a time: a wrong map of one shows in their sum.
TOGETHER = [name for name in EVERY if name not in REFUSED]
TENS = {f"ten from {TOGETHER[at]}": TOGETHER[at:at + 10] for at in range(0, len(TOGETHER), 10)}
RIGHT = {name: lambda names=names: Reads(names) for name, names in {**TENS, **{name: [name] for name in REFUSED}}.items()}
