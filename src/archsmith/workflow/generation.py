"""Text written by an exported GGUF file through llama.cpp."""

from pathlib import Path

from archsmith.errors import ConfigError


def find_gguf(path: Path) -> Path:
    """`path` itself if it is a file, else the one GGUF file in that folder. Raises ConfigError."""
    if path.is_file():
        return path
    found = sorted(path.glob("*.gguf"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(f"{path}: no .gguf file in this folder; 'archsmith export' writes one")
    names = ", ".join(file.name for file in found)
    raise ConfigError(f"{path}: {len(found)} GGUF files ({names}); name one of them")


def continue_text(
    path: Path,
    prompt: str,
    *,
    max_new_tokens: int,
    temperature: float = 0.7,
    top_k: int | None = 40,
    seed: int = 0,
    num_threads: int = 1,
) -> str:
    """What the model writes after `prompt`, each document beginning with the document token.

    Raises ConfigError where the prompt leaves no room in the context.
    """
    from archsmith.export.llamacpp import LlamaCpp

    with LlamaCpp(path, context_tokens=32, num_threads=num_threads) as header:
        context_tokens = header.max_position_embeddings
    with LlamaCpp(path, context_tokens=context_tokens, num_threads=num_threads) as model:
        tokens = [model.bos_token_id, *model.tokenize(prompt)]
        if len(tokens) >= context_tokens:
            raise ConfigError(
                f"the prompt takes {len(tokens)} tokens, the context holds {context_tokens}; "
                f"give at most {context_tokens - 1}"
            )
        made = model.generate(
            tokens,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_k=top_k,
            seed=seed,
        )
        pieces = model.token_pieces()
        return b"".join(pieces[token] for token in made).decode(errors="replace")
