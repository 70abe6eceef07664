"""Keys of `sampling` that SUNDAE's two ways of drawing do not read, and what does there what they do elsewhere."""

from twostage.errors import TwostageError
from twostage.runtime.job import Tree

_CHAIN = "set sampling.{0}.chain.temperature_start and sampling.{0}.chain.temperature_end"
_ALL_CODES = "a step draws from all codes, and low temperatures from the likely ones: " + _CHAIN
_CANVAS = "its images have the size that the prior was trained on; choose priors=gpt and sampling.generate for others"
_OWN_CONDITIONS = (
    "held-out images are filled under conditions of their own; drop sampling.{}, or draw whole images by "
    "sampling.denoise"
)

# Verb -> key of `sampling` -> what to do instead.
INSTEAD = {
    "sampling.denoise": {
        "temperature": _CHAIN.format("denoising"),
        "top_k": _ALL_CODES.format("denoising"),
        "top_p": _ALL_CODES.format("denoising"),
        "given": "it draws whole images; sampling.inpaint with sampling.inpainting.mask=half completes some",
        "canvas": _CANVAS,
        "canvas_pixels": _CANVAS,
        "cache_megabytes": "it keeps no cache; lower sampling.batch_size for less memory",
    },
    "sampling.inpaint": {
        "temperature": _CHAIN.format("inpainting"),
        "top_k": _ALL_CODES.format("inpainting"),
        "top_p": _ALL_CODES.format("inpainting"),
        "given": "set sampling.inpainting.mask=half, which keeps half of every image",
        "canvas": _CANVAS,
        "canvas_pixels": _CANVAS,
        "cache_megabytes": "it keeps no cache; lower sampling.batch_size for less memory",
        "num_images": "set sampling.inpainting.num_images",
        "grid_images": "all are shown; set sampling.inpainting.num_images",
        "per_condition": "set sampling.inpainting.results",
        **{key: _OWN_CONDITIONS.format(key) for key in ("condition_file", "coordinates", "classes")},
    },
}


def refuse_unread(verb: str, asked: Tree, usual: Tree) -> None:
    """Raises TwostageError if what is `asked` of `sampling` differs from the `usual` in a key that the verb does not
    read: it would change nothing.
    """
    for key, instead in INSTEAD[verb].items():
        if asked[key] != usual[key]:
            raise TwostageError(f"{verb} does not read sampling.{key}: {instead}")
