"""Search strategies on recorded tables of trained models, in seconds instead of weeks."""
