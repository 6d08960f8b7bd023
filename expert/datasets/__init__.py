"""Tables of images, prepared arrays, prototype images and synthetic heads."""

import lazy_loader

from expert._moved import public_modules

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=public_modules(__path__),
    submod_attrs={
        "table": ["Entry", "read_table"],
        "prepared_dataset": ["CohortArrays", "load_cohort"],
        "average_images": ["average_image", "shown_image"],
        "fetching": ["cache_folder", "fetch_images", "fetch_reference", "public_address"],
        "prototype_images": ["find_reference", "prototype_image"],
    },
)
