import json

import numpy as np
import pytest
import torch
from train_helpers import tiny

from archsmith.data.splits import Split
from archsmith.data.token_file import TokenFile
from archsmith.errors import CheckpointError
from archsmith.train import checkpoint
from archsmith.train.trunk import Trunk, load_model


@pytest.fixture
def saved(tokens, recipe, tmp_path):
    trunk = Trunk.start(tiny(), recipe=recipe, seed=0, tokens=tokens)
    trunk.run(400)
    trunk.save(tmp_path / "trunk")
    return tmp_path / "trunk"


def test_a_checkpoint_holds_safetensors_and_json_only(saved):
    endings = sorted(path.suffix for path in saved.iterdir())
    assert endings == [".json", ".safetensors", ".safetensors"]
    manifest = json.loads((saved / "manifest.json").read_text())
    assert manifest["step"] > 0
    assert manifest["architecture"]["hidden_size"] == 32
    assert manifest["num_threads"] == 1
    assert manifest["dtype"] == "float32"


def test_saving_again_replaces_the_old_files(saved, tokens):
    trunk = Trunk.load(saved, tokens=tokens)
    trunk.run(trunk.train_bytes + 400)
    trunk.save(saved)
    assert len(list(saved.iterdir())) == 3
    assert Trunk.load(saved, tokens=tokens).step == trunk.step


def test_a_kill_while_writing_leaves_the_old_checkpoint(saved, tokens, monkeypatch):
    trunk = Trunk.load(saved, tokens=tokens)
    step = trunk.step
    trunk.run(trunk.train_bytes + 400)

    class Killed(BaseException):
        pass

    def kill(*args):
        raise Killed

    # the new tensors are on the disk, the manifest is not
    monkeypatch.setattr(checkpoint, "write_text", kill)
    with pytest.raises(Killed):
        trunk.save(saved)
    monkeypatch.undo()
    assert Trunk.load(saved, tokens=tokens).step == step


@pytest.mark.parametrize("kind", ["weights", "optimizer"])
def test_a_flipped_bit_is_found(saved, tokens, kind):
    (file,) = saved.glob(f"{kind}-*.safetensors")
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged: its content is not what was written"):
        Trunk.load(saved, tokens=tokens)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "damaged: Expecting property name"),
        ("[]", "not the manifest of an archsmith checkpoint"),
        ('{"format": "other"}', "not the manifest of an archsmith checkpoint"),
        ('{"format": "archsmith-trunk", "version": 9}', r"another version \(format 9"),
        ('{"format": "archsmith-trunk", "version": 1}', "damaged: architecture: Field required"),
    ],
)
def test_a_manifest_that_is_not_ours_is_explained(saved, tokens, content, message):
    (saved / "manifest.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        Trunk.load(saved, tokens=tokens)


def test_missing_pieces_are_named(saved, tokens, tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        Trunk.load(tmp_path / "nowhere", tokens=tokens)
    next(saved.glob("weights-*")).unlink()
    with pytest.raises(CheckpointError, match="missing; the checkpoint is incomplete"):
        load_model(saved)


def test_other_text_is_refused(saved, corpus, tokenizer, tmp_path):
    other = TokenFile.build(corpus, Split.TRAIN, tokenizer.prefix(270), tmp_path)
    with pytest.raises(CheckpointError, match="trained on another tokenizer"):
        Trunk.load(saved, tokens=other)


def test_tensors_of_another_shape_are_refused(saved):
    manifest = checkpoint.read_manifest(saved)
    arrays = checkpoint.read_tensors(saved, manifest.files, "weights")
    live = {"model.norm.weight": torch.zeros(5)}
    with pytest.raises(CheckpointError, match=r"no fitting tensor model\.norm\.weight"):
        checkpoint.restore(live, arrays, saved)
    assert all(array.dtype == np.float32 for array in arrays.values())
