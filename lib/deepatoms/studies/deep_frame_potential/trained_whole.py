"""What averaging the images to 16 x 16 changes: the narrowest chains and residual networks of the grid on whole images."""

import itertools

from deepatoms.learning.networks import families
from deepatoms.runs import results
from deepatoms.studies.deep_frame_potential import trained_grid

NAME = "frame-potential-trained-whole"
CLAIMS = ("dfp.fig5a_reduction",)
CONFIGURATIONS = [{"family": family, "size": [blocks, trained_grid.WIDTHS[0]], "seed": 0, **trained_grid.RECIPE, "pooled": 1}
                  for blocks, family in itertools.product(trained_grid.DEPTHS, families.FAMILIES)]

experiment = results.experiment(NAME, CONFIGURATIONS, minutes=60, claims=CLAIMS,
                                title="Fig. 5a: chains and residual networks of width 4 on whole images, one seed")
trained = experiment(trained_grid.trained)
