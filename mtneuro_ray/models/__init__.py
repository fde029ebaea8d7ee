"""Models: declarations, which need no torch, and the networks themselves in `nets`."""

from mtneuro_ray.models.base import ModelDeclaration
from mtneuro_ray.registry import Registry

MODELS = Registry(
    "models",
    ModelDeclaration,
    {
        "ResNet-18": "mtneuro_ray.models.encoders:RESNET18",
        "PCA": "mtneuro_ray.models.encoders:PCA",
        "NMF": "mtneuro_ray.models.encoders:NMF",
        "UNet": "mtneuro_ray.models.unet:UNET",
        "MAnet": "mtneuro_ray.models.library:MANET",
        "FPN": "mtneuro_ray.models.library:FPN",
        "UnetPlusPlus": "mtneuro_ray.models.library:UNET_PLUS_PLUS",
        "PAN": "mtneuro_ray.models.library:PAN",
        "PSPNet": "mtneuro_ray.models.library:PSPNET",
        "VNetLight": "mtneuro_ray.models.volumetric:VNET_LIGHT",
        "HighResNet": "mtneuro_ray.models.volumetric:HIGH_RES_NET",
    },
)
