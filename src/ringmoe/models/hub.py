"""Checkpoints on the Hugging Face hub, by huggingface_hub's own mixin."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from huggingface_hub import ModelCard, ModelHubMixin, snapshot_download
from huggingface_hub.errors import HTTPError

from ringmoe.errors import CheckpointError
from ringmoe.files import replacing
from ringmoe.models.config import ModelConfig
from ringmoe.models.folder import (
    CARD,
    HUB_CARD,
    NEEDED,
    read_config,
    refuse_to_overwrite,
    write_config,
)
from ringmoe.models.shard_writer import write_shards
from ringmoe.models.shards import MAX_SHARD_BYTES

if TYPE_CHECKING:  # these import the backbone, whose base class is here
    import torch

    from ringmoe.models.backbone import RingMoE

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


class HubCheckpoint(ModelHubMixin, library_name="ringmoe"):
    """Gives a model `save_pretrained`, `from_pretrained` and `push_to_hub`.

    A base class that is always there, not one that is added on demand: importing the mixin takes
    a tenth of the time that importing torch takes.
    """

    config: ModelConfig

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The card that the hub shows; `kwargs` as for `ringmoe.models.default_card`."""
        from ringmoe.models.card import default_card

        return ModelCard(default_card(self.config, **kwargs))

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        model_card_kwargs: dict[str, Any] | None = None,
        **push_to_hub_kwargs: Any,
    ) -> str | None:
        """Write a folder as the hub wants it, whole or not at all.

        It is what `ringmoe.save_model` writes, the model card as README.md. The mixin's own would
        delete config.json of a checkpoint that stands there before the new one is written.

        Args:
            save_directory: The folder.
            repo_id: With `push_to_hub`, the repository; None for the folder's name.
            push_to_hub: Whether to upload it too.
            model_card_kwargs: What `ringmoe.models.default_card` takes: `license`,
                `training_data`, `evaluation`.
            **push_to_hub_kwargs: See `push_to_hub`.

        Returns:
            With `push_to_hub`, the URL of the commit.

        Raises:
            WriteError: It cannot be written, or there is something other than a checkpoint.
        """
        folder = Path(save_directory)
        refuse_to_overwrite(folder)
        with replacing(folder) as unfinished:
            super().save_pretrained(unfinished, model_card_kwargs=model_card_kwargs)
        if not push_to_hub:
            return None
        return self.push_to_hub(
            repo_id or folder.name, model_card_kwargs=model_card_kwargs, **push_to_hub_kwargs
        )

    def _save_pretrained(self, save_directory: Path) -> None:
        from ringmoe.models.checkpoint import weights_of

        write_shards(weights_of(self), save_directory, MAX_SHARD_BYTES)  # type: ignore[arg-type]
        write_config(save_directory, self.config)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        **model_kwargs: Any,
    ) -> Self:
        """Load from a folder or the hub: `ringmoe.load_model` with the hub's options.

        Args:
            pretrained_model_name_or_path: The folder, or the repository "owner/name".
            force_download: Download again what is in the cache.
            token: To log in with; None for the one that `hf auth login` keeps.
            cache_dir: Where downloads are kept; None for the hub's own cache.
            local_files_only: Use what was downloaded before and ask no server.
            revision: Branch, tag or commit.
            **model_kwargs: `modalities`, `device` and `dtype`, as for `ringmoe.load_model`.

        Raises:
            CheckpointError: As `ringmoe.load_model`.
            ConfigError: As `ringmoe.load_model`.
        """
        folder = local_folder(
            pretrained_model_name_or_path,
            force_download=force_download,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            revision=revision,
        )
        read_config(folder)  # the mixin reads it too, unchecked
        return super().from_pretrained(folder, **model_kwargs)

    @classmethod
    def _from_pretrained(  # type: ignore[override]  # what else is given is a mistake
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        modalities: Sequence[str] | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        config: Any = None,  # what the mixin made of config.json
        proxies: Any = None,  # this and the next come from huggingface_hub before 1.0
        resume_download: Any = None,
    ) -> RingMoE:
        from ringmoe.models.checkpoint import load_model

        return load_model(Path(model_id), modalities, device, dtype)


def local_folder(path: str | Path, **download: Any) -> Path:
    """The folder of a checkpoint, which is downloaded if it is on the hub.

    Only configuration, weights and cards are downloaded; weights of no other kind than safetensors.

    Args:
        path: A folder, or the id of a repository, "owner/name".
        **download: Options of `huggingface_hub.snapshot_download`.

    Raises:
        CheckpointError: There is no such folder, and the download failed.
    """
    if isinstance(path, Path) or not _HUB_ID.fullmatch(path) or Path(path).exists():
        return Path(path)
    try:
        return Path(snapshot_download(path, allow_patterns=[*NEEDED, CARD, HUB_CARD], **download))
    except (OSError, ValueError, HTTPError) as error:
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(
            f"{path} is no folder here, and was not found on the hub ({reason}): check the name, "
            "the connection, and with `hf auth whoami` who you are there"
        ) from error
