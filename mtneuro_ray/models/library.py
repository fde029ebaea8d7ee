"""The segmentation networks of segmentation_models_pytorch (paper, Appendix 4.2.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.models.base import ModelDeclaration, Settings2D, SizeRule

if TYPE_CHECKING:
    from torch import Tensor


class LibrarySettings(Settings2D):
    """Keys of the library's networks."""

    encoder_name: str = "efficientnet-b7"
    """Encoder: any of segmentation_models_pytorch, or `tu-` and a name of timm (paper, Appendix 4.2.2)."""
    encoder_weights: str | None = "imagenet"
    """Initial weights of the encoder: a name that the library has for it, fetched once for all trials of a sweep;
    `file:` and the path of a state dict (.safetensors, .pt, .pth), relative to the JSON that names it; or null for
    random ones."""

    @property
    def encoder_file(self) -> str | None:
        """Path of the file that holds the encoder's initial weights, where `encoder_weights` names one."""
        weights = self.encoder_weights
        return weights.removeprefix("file:") if weights is not None and weights.startswith("file:") else None


# Parameters of the encoders that the benchmark, its smoke preset and most papers use.
_ENCODER_PARAMETERS = {"efficientnet-b0": 4.0e6, "efficientnet-b7": 63.8e6, "resnet18": 11.2e6, "resnet34": 21.3e6}
_OTHER_ENCODER = 2.4e7


def _parameters(settings: LibrarySettings) -> float:
    return _ENCODER_PARAMETERS.get(settings.encoder_name, _OTHER_ENCODER)


def _declared(name: str, summary: str, divisor: int, smallest: int, smallest_batch: int = 1) -> ModelDeclaration:
    return ModelDeclaration(
        name=name,
        summary=summary,
        build="mtneuro_ray.models.nets.library:build",
        settings=LibrarySettings,
        predicts=("voxel",),
        sizes=SizeRule(divisor, 0, smallest),
        smallest_batch=smallest_batch,
        is_pretrained=True,
        parameters=_parameters,
    )


# Half of 64 passes, too, but leaves one value a channel to the batch norms of a batch of one.
MANET = _declared("MAnet", "MA-Net (Fan et al. 2020)", 32, 64)
FPN = _declared("FPN", "Feature pyramid network (Kirillov et al. 2019)", 32, 64)
UNET_PLUS_PLUS = _declared("UnetPlusPlus", "U-Net++ (Zhou et al. 2018)", 32, 64)
# Its attention pools the features of stride 16 three times more (Li et al. 2018, figure 3).
PAN = _declared("PAN", "Pyramid attention network (Li et al. 2018)", 16, 128, smallest_batch=2)
PSPNET = _declared("PSPNet", "Pyramid scene parsing network (Zhao et al. 2017)", 8, 32)


def fetch_encoder(network: NetworkSettings) -> Mapping[str, Tensor] | None:
    """Initial weights of a network's encoder; None where they are random.

    Raises:
        InputError: they cannot be downloaded, or do not fit the encoder.
    """
    if not network.starts_pretrained:
        return None
    # Slow to import, and not needed without an encoder.
    from mtneuro_ray.models.pretrained import fetch_encoder_weights

    return fetch_encoder_weights(network)


def check_encoders(networks: Iterable[tuple[NetworkSettings, str]]) -> None:
    """Check that the library has the encoders and weights of networks, each given with its file for errors.

    Raises:
        InputError: an encoder or its weights are missing.
    """
    distinct = {
        network.model.model_dump_json(): (network, where)
        for network, where in networks
        if network.declaration.is_pretrained
    }
    if distinct:
        from mtneuro_ray.models.pretrained import check_encoder

        for network, where in distinct.values():
            check_encoder(network, where)
