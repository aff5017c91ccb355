"""Parts that turn an architecture into metrics by running something, one file per evaluator."""
