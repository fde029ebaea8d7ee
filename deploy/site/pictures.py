"""Pictures of docs/gallery.md: `python deploy/site/pictures.py OUT...`, after the commands that the page lists.

They are files of OUT/figures, made small for the site: photos and fine lines as JPEG, drawings as PNG of few colors.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

GALLERY = Path(__file__).parents[2] / "docs" / "gallery"
# Figure -> pixels of its width on the site.
PHOTOS = {"slices_UNet_2D": 900, "correlation": 1200, "embeddings_SUP_ResNet-18_2D": 1300}
DRAWINGS = {
    "curves_UNet_2D_task2_2D_4class": 1100,
    "classes_task2_2D_4class": 1200,
    "confusion_SUP_ResNet-18_2D_task1_demo": 600,
    "table_1": 900,
    "timings": 1000,
}
QUALITY, COLORS = 82, 96


def main(folders: Sequence[Path]) -> None:
    """Write all pictures, each from the first output folder that has it."""
    GALLERY.mkdir(exist_ok=True)
    for name, width in (PHOTOS | DRAWINGS).items():
        image = shrunk(next(folder / f"figures/{name}.png" for folder in folders if has(folder, name)), width)
        if name in PHOTOS:
            image.save(GALLERY / f"{name}.jpg", quality=QUALITY, optimize=True)
        else:
            few = image.quantize(COLORS, dither=Image.Dither.NONE)
            few.save(GALLERY / f"{name}.png", optimize=True)


def has(folder: Path, name: str) -> bool:
    """Whether an output folder has a figure."""
    return (folder / f"figures/{name}.png").is_file()


def shrunk(file: Path, width: int) -> Image.Image:
    """A picture of this width."""
    image = Image.open(file).convert("RGB")
    return image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main([Path(folder) for folder in sys.argv[1:]])
