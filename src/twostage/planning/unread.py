"""Keys of `sampling` that drawing whole grids does not read, and what does there what they do elsewhere."""

from twostage.errors import TwostageError
from twostage.runtime.job import Tree

# In which block of `sampling` a verb finds what it reads.
_BLOCK = {"sampling.denoise": "denoising", "sampling.inpaint": "inpainting"}
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


# The same of priors=absorbing, where it differs.
_UNMASKING = "set sampling.{0}.unmasking.temperature"
_INSTEAD_ABSORBING = {
    "temperature": _UNMASKING,
    "top_k": "it draws from all codes, and at low temperatures from the likely ones: " + _UNMASKING,
    "top_p": "it draws from all codes, and at low temperatures from the likely ones: " + _UNMASKING,
}


def refuse_unread(verb: str, architecture: str, asked: Tree, usual: Tree) -> None:
    """Raises TwostageError if what is `asked` of `sampling` differs from the `usual` in a key that the verb, or the
    prior's architecture, does not read: it would change nothing.
    """
    block, absorbing = _BLOCK[verb], architecture == "absorbing"
    for key, instead in INSTEAD[verb].items():
        if asked[key] != usual[key]:
            said = _INSTEAD_ABSORBING[key].format(block) if absorbing and key in _INSTEAD_ABSORBING else instead
            raise TwostageError(f"{verb} does not read sampling.{key}: {said}")
    read, unread = ("unmasking", "chain") if absorbing else ("chain", "unmasking")
    if asked[block][unread] != usual[block][unread]:
        raise TwostageError(
            f"priors={architecture} does not read sampling.{block}.{unread}; set sampling.{block}.{read}"
        )
