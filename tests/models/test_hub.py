"""Folders as the Hugging Face hub has them, through huggingface_hub's own mixin."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.hub_mixin
import pytest
import torch
from huggingface_hub import ModelCard, ModelHubMixin
from tests.models.samples import SMALL, small_model

from ringmoe.errors import CheckpointError, ConfigError, WriteError
from ringmoe.models import RingMoE, default_card, hub, load_model, save_model, shard_writer

FOLDER = ["README.md", "config.json", "model.safetensors"]


@pytest.fixture(scope="module")
def model() -> RingMoE:
    return small_model()


@pytest.fixture
def saved(model, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def equal(a: RingMoE, b: RingMoE) -> bool:
    mine, other = a.state_dict(), b.state_dict()
    return list(mine) == list(other) and all(torch.equal(t, other[n]) for n, t in mine.items())


def test_round_trip_through_the_mixin(saved, model):
    assert isinstance(model, ModelHubMixin)
    assert sorted(file.name for file in saved.iterdir()) == FOLDER
    loaded = RingMoE.from_pretrained(saved)
    assert equal(loaded, model)
    assert not loaded.training
    assert loaded.config == SMALL
    assert equal(load_model(saved), model)


def test_what_load_model_takes_from_pretrained_takes_too(saved):
    loaded = RingMoE.from_pretrained(
        str(saved), modalities=["sar_complex", "optical"], dtype=torch.bfloat16
    )
    assert loaded.config.modalities == ("sar_complex", "optical")
    due = load_model(saved, ["sar_complex", "optical"], dtype=torch.bfloat16)
    assert equal(loaded, due)
    with pytest.raises(TypeError, match="modality"):
        RingMoE.from_pretrained(saved, modality="optical")
    with pytest.raises(ConfigError, match="no modality 'thermal'"):
        RingMoE.from_pretrained(saved, modalities=["thermal"])


def test_a_large_model_is_saved_in_shards_with_an_index(model, tmp_path, monkeypatch):
    """The limit lowered from 5 GB to 5 MB, for a model of 15.5."""
    monkeypatch.setattr(hub, "MAX_SHARD_BYTES", "5MB")
    model.save_pretrained(tmp_path / "model")
    names = sorted(file.name for file in (tmp_path / "model").iterdir())
    count = len(names) - 3
    assert count >= 4
    assert names == [
        *("README.md", "config.json"),
        *(f"model-{number + 1:05d}-of-{count:05d}.safetensors" for number in range(count)),
        "model.safetensors.index.json",
    ]
    assert equal(RingMoE.from_pretrained(tmp_path / "model"), model)


def test_the_card_carries_the_hubs_metadata(saved):
    """Read by the hub's own parser."""
    card = ModelCard.load(saved / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "ringmoe"
    assert {"remote-sensing", "mixture-of-experts", "sar-complex"} <= set(card.data.tags)
    assert card.text.count("not stated") == 2
    assert "HH_I, HH_Q" in card.text


def test_what_is_known_of_training_goes_into_the_card(model, tmp_path):
    facts = {"license": "cc-by-4.0", "training_data": "Two scenes.", "evaluation": "None."}
    model.save_pretrained(tmp_path / "model", model_card_kwargs=facts)
    card = ModelCard.load(tmp_path / "model" / "README.md")
    assert card.data.license == "cc-by-4.0"
    assert "Training data: Two scenes." in card.text
    assert "Evaluation: None." in card.text
    assert card.text == ModelCard(default_card(SMALL, **facts)).text


def test_saving_over_a_checkpoint_is_whole_or_not_at_all(saved, model, monkeypatch):
    """The mixin alone would have deleted config.json before the disk is found full."""
    other = small_model(seed=1)

    def out_of_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shard_writer, "write_at", out_of_space)
        with pytest.raises(WriteError, match="disk is full"):
            other.save_pretrained(saved)
    assert equal(load_model(saved), model)
    other.save_pretrained(saved)
    assert equal(load_model(saved), other)
    assert [folder.name for folder in saved.parent.iterdir()] == ["model"]


def test_a_folder_with_other_things_is_not_overwritten(model, tmp_path):
    (tmp_path / "thesis.tex").write_text("ten years of work")
    with pytest.raises(WriteError, match=r"not a checkpoint folder \(it holds thesis.tex\)"):
        model.save_pretrained(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_a_broken_folder_is_refused_in_our_words(saved, text):
    (saved / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json is no model configuration"):
        RingMoE.from_pretrained(saved)


def test_an_absent_folder_is_refused_without_asking_the_hub(tmp_path):
    for name in (str(tmp_path / "absent"), Path("absent/model"), "./absent/model", "absent"):
        with pytest.raises(CheckpointError, match="is no checkpoint: expected a folder"):
            RingMoE.from_pretrained(name)
        with pytest.raises(CheckpointError, match="is no checkpoint: expected a folder"):
            load_model(name)


def test_pushing_uploads_a_whole_checkpoint(model, tmp_path, monkeypatch):
    """The mixin's `push_to_hub`; a stand-in for the hub's API keeps the files."""
    uploads = []

    class Hub:
        def __init__(self, token: str | None = None) -> None:
            self.token = token

        def create_repo(self, repo_id: str, **_: object) -> "Hub":
            self.repo_id = repo_id
            return self

        def upload_folder(self, repo_id: str, folder_path: Path, **options: object) -> str:
            files = {file.name: file.read_bytes() for file in folder_path.iterdir()}
            uploads.append((repo_id, options["revision"], files))
            return "https://hub/commit"

    monkeypatch.setattr(huggingface_hub.hub_mixin, "HfApi", Hub)
    assert model.push_to_hub("owner/name", branch="trial") == "https://hub/commit"
    url = model.save_pretrained(
        tmp_path / "mine", push_to_hub=True, model_card_kwargs={"license": "cc0-1.0"}
    )
    assert url == "https://hub/commit"
    (first, branch, files), (second, _, more) = uploads
    assert (first, branch, sorted(files)) == ("owner/name", "trial", FOLDER)
    assert (second, sorted(more)) == ("mine", FOLDER)
    assert b"license: cc0-1.0" in more["README.md"]
    (tmp_path / "down").mkdir()
    for name, content in files.items():
        (tmp_path / "down" / name).write_bytes(content)
    assert equal(load_model(tmp_path / "down"), model)


@pytest.fixture
def server(model, tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """A hub on this machine with one repository, owner/name: its address, and what was fetched.

    It speaks what huggingface_hub asks when it downloads: the commit of a revision, the files of
    a commit, and each file with its ETag.
    """
    folder = save_model(model, tmp_path / "repository", max_shard_bytes="5MB")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle that nobody asked for")
    commit, fetched = "c" * 40, []

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers: dict[str, str] = {}
            files = {file.name: file for file in folder.iterdir()}
            last = self.path.split("?")[0].rsplit("/", 1)[-1]
            if self.path.startswith("/api/models/owner/name/tree/"):
                body = json.dumps([self.entry(file) for file in files.values()]).encode()
            elif self.path.startswith("/api/models/owner/name"):
                siblings = [{"rfilename": name} for name in files]
                body = json.dumps(
                    {"id": "owner/name", "sha": commit, "siblings": siblings, "tags": []}
                ).encode()
            elif self.path.startswith(f"/owner/name/resolve/{commit}/") and last in files:
                body = files[last].read_bytes()
                headers = {"ETag": self.entry(files[last])["oid"], "X-Repo-Commit": commit}
                if self.command == "GET":
                    fetched.append(last)
            else:
                body, headers = b"", {"X-Error-Code": "RepoNotFound"}
            self.send_response(200 if body else 404)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def entry(self, file: Path) -> dict:
            content = file.read_bytes()
            digest = hashlib.sha1(content).hexdigest()
            return {"type": "file", "path": file.name, "size": len(content), "oid": digest}

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", fetched
        running.shutdown()


DOWNLOAD = """
import sys
import ringmoe
from ringmoe.errors import CheckpointError
model = ringmoe.load_model("owner/name", modalities=["optical"])
ringmoe.save_model(model, sys.argv[1])
again = ringmoe.RingMoE.from_pretrained("owner/name", modalities=["optical"], local_files_only=True)
assert again.config == model.config
try:
    ringmoe.load_model("owner/other")
except CheckpointError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_model_is_loaded_by_its_id(server, model, tmp_path):
    """A fresh process, pointed at the stand-in by huggingface_hub's own variables.

    It fetches configuration, card and shards once each and no pickle, and loads the same weights;
    from the cache again without a request; what is not there is refused in one line.
    """
    address, fetched = server
    done = subprocess.run(
        [sys.executable, "-c", DOWNLOAD, str(tmp_path / "copy")],
        capture_output=True,
        text=True,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            **{"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1"},
            "HF_HUB_DISABLE_TELEMETRY": "1",
        },
    )
    assert done.returncode == 0, done.stderr
    needed = [f.name for f in (tmp_path / "repository").iterdir()]
    needed = [name for name in needed if name != "pytorch_model.bin"]
    assert sorted(fetched) == sorted(needed)
    assert equal(load_model(tmp_path / "copy"), load_model(tmp_path / "repository", ["optical"]))
    (line,) = done.stdout.strip().split("\n")
    assert line.startswith("owner/other is no folder here, and was not found on the hub (")
