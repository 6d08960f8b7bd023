"""Make `expert/imaging/data/icbm152_2mm_*.nii.gz` from the ICBM 152 files of nilearn.

Run once; needs nilearn.
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from nilearn import datasets as nilearn_datasets
from nilearn.image import resample_img
from scipy import ndimage

SOURCE = Path(nilearn_datasets.__file__).parent / "data"
TARGET = Path(__file__).parents[1] / "expert" / "imaging" / "data"
SHAPE, SPACING, ORIGIN = (97, 115, 97), 2.0, (-96.0, -132.0, -78.0)


def main() -> None:
    """Resample, threshold and write the maps."""
    affine = np.diag([SPACING, SPACING, SPACING, 1.0])
    affine[:3, 3] = ORIGIN
    maps = {}
    for name in ("t1", "gm", "wm"):
        image = nib.load(SOURCE / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz")
        # Smooth with a small Gaussian before resampling from 1 mm to 2 mm, to avoid aliasing.
        smooth = nib.Nifti1Image(ndimage.gaussian_filter(image.get_fdata(), 0.6), image.affine)
        maps[name] = resample_img(
            smooth, affine, SHAPE, force_resample=True, copy_header=True
        ).get_fdata()
        maps[name] = maps[name] / maps[name].max()
    # The T1 is skull-stripped: its bright part, closed and filled, is the brain with outer CSF.
    mask = maps["t1"] > 0.05
    mask = ndimage.binary_fill_holes(
        ndimage.binary_closing(ndimage.binary_opening(mask), iterations=2)
    )
    labels, _ = ndimage.label(mask)
    mask = labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1
    maps["mask"] = mask.astype(float)
    for name, data in maps.items():
        scale = 1 if name == "mask" else 255
        image = nib.Nifti1Image(np.clip(np.rint(data * scale), 0, 255).astype(np.uint8), affine)
        image.header.set_xyzt_units("mm")
        image.header.set_sform(affine, code="mni")
        image.header.set_qform(affine, code="mni")
        nib.save(image, TARGET / f"icbm152_2mm_{name}.nii.gz")
        print(name, image.shape, float(data.sum()) * SPACING**3 / 1000, "ml")


if __name__ == "__main__":
    main()
