"""archsmith: neural architecture search for small language models, on your text and your limits."""
