"""The five networks of the OpML 2019 study in plain torch, with seeded weights.

Written from the papers that introduced them, without auxiliary heads and dropout, which do nothing in inference.
Parameter counts are those of the published networks (tests). The weights are random, so what they answer is
meaningless, but time, memory and numerical range are those of the trained network.

Source:
    VGG: Simonyan and Zisserman, ICLR 2015, table 1, columns D and E. ResNet50: He et al., CVPR 2016, table 1, with
    the stride in the 3 x 3 layer (as in torchvision). InceptionV3: Szegedy et al., CVPR 2016, table 1 and figures 5-7.
    Xception: Chollet, CVPR 2017, figure 5.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import prod

import numpy as np
import torch
from torch import Tensor, nn

from perfport.seeding import rng_for

__all__ = ["ARCHITECTURES", "architecture", "layers_of", "size_bytes"]

_CLASSES = 1000
_BRANCH_SCALE = 0.5


class Sum(nn.Module):
    """Adds what its branches make of one input; rectified, or not."""

    def __init__(self, *branches: nn.Module, rectified: bool = False) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.rectified = rectified

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum."""
        total = x
        for number, branch in enumerate(self.branches):
            total = branch(x) if number == 0 else total + branch(x)
        return torch.relu(total) if self.rectified else total


class Concat(nn.Module):
    """Lines up the channels its branches make of one input."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """Return the channels of all branches."""
        return torch.cat([branch(x) for branch in self.branches], 1)


def architecture(name: str) -> nn.Module:
    """Return a network of the study, ready for inference.

    Args:
        name: One of `ARCHITECTURES`.
    """
    module = layers_of(name)
    with torch.no_grad():
        for path, part in module.named_modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                # Behind a rectifier half of the power is gone (He et al., ICCV 2015); before the first one, and
                # between the two halves of a separable layer, nothing is.
                gain = 1.0 if path.endswith("pointwise") or part.weight.shape[1] == 3 else 2.0
                shape = tuple(part.weight.shape)
                drawn = rng_for(0, "weights", name, path).standard_normal(shape, dtype=np.float32)
                part.weight.copy_(torch.from_numpy(drawn * np.float32(np.sqrt(gain / prod(shape[1:])))))
                if part.bias is not None:
                    part.bias.zero_()
            elif path.endswith("branch_end"):
                # A sum of many branches must not explode.
                part.weight.fill_(_BRANCH_SCALE)
    return module.eval()


def size_bytes(name: str) -> int:
    """Return the size of a network's weights, without making them."""
    with torch.device("meta"):
        return sum(tensor.numel() * tensor.element_size() for tensor in layers_of(name).parameters())


def layers_of(name: str) -> nn.Module:
    """Return a network of the study with torch's own initial weights."""
    return ARCHITECTURES[name]()


def _vgg(stages: Sequence[int]) -> nn.Module:
    layers: list[nn.Module] = []
    before = 3
    for repeats, width in zip(stages, (64, 128, 256, 512, 512), strict=True):
        for _ in range(repeats):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            before = width
        layers.append(nn.MaxPool2d(2))
    dense = [nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, _CLASSES)]
    return nn.Sequential(*layers, nn.Flatten(), *dense)


def _conv(
    before: int, width: int, kernel: int | tuple[int, int], *, stride: int = 1, padded: bool = True
) -> list[nn.Module]:
    rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (rows // 2, columns // 2) if padded else (0, 0)
    return [nn.Conv2d(before, width, (rows, columns), stride, padding, bias=False), nn.BatchNorm2d(width)]


def _rectified(
    before: int, width: int, kernel: int | tuple[int, int], *, stride: int = 1, padded: bool = True
) -> nn.Module:
    return nn.Sequential(*_conv(before, width, kernel, stride=stride, padded=padded), nn.ReLU())


def _head(width: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, _CLASSES)]


def _named_end(layers: list[nn.Module]) -> nn.Module:
    """Return the layers in a row, the last (a normalisation) under the name by which it is scaled."""
    sequence = nn.Sequential(*layers[:-1])
    sequence.add_module("branch_end", layers[-1])
    return sequence


def _bottleneck(before: int, width: int, stride: int) -> nn.Module:
    after = 4 * width
    inner = [_rectified(before, width, 1), _rectified(width, width, 3, stride=stride), *_conv(width, after, 1)]
    shortcut = nn.Identity() if before == after else _named_end(_conv(before, after, 1, stride=stride))
    return Sum(shortcut, _named_end(inner), rectified=True)


def _resnet50() -> nn.Module:
    layers: list[nn.Module] = [_rectified(3, 64, 7, stride=2), nn.MaxPool2d(3, 2, 1)]
    before = 64
    for stage, (repeats, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
        for block in range(repeats):
            layers.append(_bottleneck(before, width, stride=2 if block == 0 and stage > 0 else 1))
            before = 4 * width
    return nn.Sequential(*layers, *_head(before))


def _separable(before: int, width: int) -> list[nn.Module]:
    layer = nn.Sequential()
    layer.add_module("depthwise", nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False))
    layer.add_module("pointwise", nn.Conv2d(before, width, 1, bias=False))
    return [layer, nn.BatchNorm2d(width)]


def _xception_block(before: int, widths: Sequence[int], *, rectified_first: bool = True) -> nn.Module:
    layers: list[nn.Module] = []
    for number, (n_in, n_out) in enumerate(pairwise((before, *widths))):
        layers += [nn.ReLU()] if number or rectified_first else []
        layers += _separable(n_in, n_out)
    if len(widths) == 3:
        return Sum(nn.Identity(), _named_end(layers))
    shortcut = _named_end(_conv(before, widths[-1], 1, stride=2))
    return Sum(shortcut, nn.Sequential(_named_end(layers), nn.MaxPool2d(3, 2, 1)))


def _xception() -> nn.Module:
    return nn.Sequential(
        _rectified(3, 32, 3, stride=2, padded=False),
        _rectified(32, 64, 3, padded=False),
        _xception_block(64, (128, 128), rectified_first=False),
        _xception_block(128, (256, 256)),
        _xception_block(256, (728, 728)),
        *(_xception_block(728, (728, 728, 728)) for _ in range(8)),
        _xception_block(728, (728, 1024)),
        *_separable(1024, 1536),
        nn.ReLU(),
        *_separable(1536, 2048),
        nn.ReLU(),
        *_head(2048),
    )


def _row(before: int, *layers: tuple[int, int | tuple[int, int]], stride: int = 1) -> nn.Module:
    """Return rectified layers (width, kernel) in a row; with a stride the last one has it, and no padding."""
    made: list[nn.Module] = []
    for number, (width, kernel) in enumerate(layers, start=1):
        is_last = number == len(layers)
        made.append(
            _rectified(before, width, kernel, stride=stride if is_last else 1, padded=stride == 1 or not is_last)
        )
        before = width
    return nn.Sequential(*made)


def _pooled(before: int, width: int) -> nn.Module:
    return nn.Sequential(nn.AvgPool2d(3, 1, 1), _rectified(before, width, 1))


def _figure_5(before: int, pooled: int) -> nn.Module:
    return Concat(
        _row(before, (64, 1)),
        _row(before, (48, 1), (64, 5)),
        _row(before, (64, 1), (96, 3), (96, 3)),
        _pooled(before, pooled),
    )


def _figure_6(width: int) -> nn.Module:
    return Concat(
        _row(768, (192, 1)),
        _row(768, (width, 1), (width, (1, 7)), (192, (7, 1))),
        _row(768, (width, 1), (width, (7, 1)), (width, (1, 7)), (width, (7, 1)), (192, (1, 7))),
        _pooled(768, 192),
    )


def _figure_7(before: int) -> nn.Module:
    def split() -> nn.Module:
        return Concat(_rectified(384, 384, (1, 3)), _rectified(384, 384, (3, 1)))

    return Concat(
        _row(before, (320, 1)),
        nn.Sequential(_row(before, (384, 1)), split()),
        nn.Sequential(_row(before, (448, 1), (384, 3)), split()),
        _pooled(before, 192),
    )


def _inception_v3() -> nn.Module:
    return nn.Sequential(
        _rectified(3, 32, 3, stride=2, padded=False),
        _rectified(32, 32, 3, padded=False),
        _rectified(32, 64, 3),
        nn.MaxPool2d(3, 2),
        _rectified(64, 80, 1),
        _rectified(80, 192, 3, padded=False),
        nn.MaxPool2d(3, 2),
        _figure_5(192, 32),
        _figure_5(256, 64),
        _figure_5(288, 64),
        Concat(_row(288, (384, 3), stride=2), _row(288, (64, 1), (96, 3), (96, 3), stride=2), nn.MaxPool2d(3, 2)),
        *(_figure_6(width) for width in (128, 160, 160, 192)),
        Concat(
            _row(768, (192, 1), (320, 3), stride=2),
            _row(768, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3), stride=2),
            nn.MaxPool2d(3, 2),
        ),
        _figure_7(1280),
        _figure_7(2048),
        *_head(2048),
    )


ARCHITECTURES: Mapping[str, Callable[[], nn.Module]] = {
    "xception": _xception,
    "inception_v3": _inception_v3,
    "resnet50": _resnet50,
    "vgg16": lambda: _vgg((2, 2, 3, 3, 3)),
    "vgg19": lambda: _vgg((2, 2, 4, 4, 4)),
}
