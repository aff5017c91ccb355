"""One stock class of transformers a file; the file's name is the `model_type` it reads."""
