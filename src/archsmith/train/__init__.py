"""Training: the loop, optimizers, parametrization, schedule, trunks and cooldowns."""
