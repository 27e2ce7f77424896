"""The two libraries of the TrimCaching paper."""

from __future__ import annotations

import numpy as np

from trimcache.synthesis import regimes
from trimcache.synthesis.lineage import Forest
from trimcache.synthesis.options import Options, depth_range
from trimcache.synthesis.regimes import Shape

# Freeze ranges of the paper's special case: 29-40 of 41, 49-72 of 73, 87-106 of 107 layers.
PAPER_DEPTHS = {"resnet-18": (29, 40), "resnet-34": (49, 72), "resnet-50": (87, 106)}
PAPER_LABELS = 100  # classes of the heads; assumption, our reading of the paper's setting
# Our reading of the paper's general case: about 100 models a backbone, 300 in all, of which I are drawn. Round one has a few
# super-classes; five a backbone is an assumption.
PAPER_SUPERCLASSES = 5


def paper_special(n: int, rng: np.random.Generator, options: Options) -> Forest:
    """One pretrained network a backbone, bottoms frozen; the networks themselves are not listed."""
    forest = Forest()
    archs = options.find(tuple(PAPER_DEPTHS))
    shape = Shape(labels=PAPER_LABELS)
    roots = [regimes.base(forest, arch, shape, f"{arch.name}/pretrained", listed=False) for arch in archs]
    ranges = [depth_range(arch, options, PAPER_DEPTHS.get(arch.name, (arch.layers * 7 // 10, arch.layers - 1))) for arch in archs]
    for i in range(n):
        which = i % len(archs)
        low, high = ranges[which]
        depth = int(rng.integers(low, high + 1))
        regimes.frozen(forest, roots[which], archs[which], shape, depth, f"{archs[which].name}/{i:06d}-frozen-{depth}")
    return forest


def paper_general(n: int, rng: np.random.Generator, options: Options) -> Forest:
    """Fine-tunes of fine-tunes: the first round, to super-classes, is not listed either."""
    forest = Forest()
    archs = options.find(tuple(PAPER_DEPTHS))
    shape = Shape(labels=PAPER_LABELS)
    ranges = [depth_range(arch, options, PAPER_DEPTHS.get(arch.name, (arch.layers * 7 // 10, arch.layers - 1))) for arch in archs]
    rounds: list[list[int]] = []
    for arch in archs:
        root = regimes.base(forest, arch, shape, f"{arch.name}/pretrained", listed=False)
        # Round one trains the whole network (that nothing is frozen is an assumption).
        rounds.append(
            [regimes.frozen(forest, root, arch, shape, 0, f"{arch.name}/superclass-{k}", listed=False) for k in range(PAPER_SUPERCLASSES)]
        )
    for i in range(n):
        which = i % len(archs)
        low, high = ranges[which]
        depth, branch = int(rng.integers(low, high + 1)), int(rng.integers(PAPER_SUPERCLASSES))
        name = f"{archs[which].name}/{i:06d}-superclass-{branch}-frozen-{depth}"
        regimes.frozen(forest, rounds[which][branch], archs[which], shape, depth, name)
    return forest
