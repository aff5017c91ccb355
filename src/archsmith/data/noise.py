"""How far two trainings lie apart that differ in their seed alone.

The figure is in bits per byte of held-out text, for models of the sizes that are searched here.
"""

# One training's standard deviation over seeds, from the pairs of seeds in
# experiments/2026-11-22-optimizers, and the degrees of freedom it counts for beside what is
# measured: with one fresh seed for two finalists, two.
USUAL_NOISE, USUAL_DEGREES = 0.006, 4
