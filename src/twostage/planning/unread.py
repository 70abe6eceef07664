"""Keys of `sampling` that denoising and inpainting do not read, and what does there what they do elsewhere."""

from twostage.errors import TwostageError
from twostage.runtime.job import Tree

# In which block of `sampling` a verb finds what it reads.
_BLOCK = {"sampling.denoise": "denoising", "sampling.inpaint": "inpainting"}
# How an architecture draws a grid, or a part of one: the key of its settings in the block. Others: token by token.
_WAYS = {"sundae": "chain", "absorbing": "unmasking"}
# Way -> where its temperature is set.
_TEMPERATURE = {
    "chain": "set sampling.{0}.chain.temperature_start and sampling.{0}.chain.temperature_end",
    "unmasking": "set sampling.{0}.unmasking.temperature",
    "temperature": "set sampling.{0}.temperature",
}
# Key of `sampling` -> the beginning of the message, of which `_TEMPERATURE` has the end.
_BY_TEMPERATURE = {
    "temperature": "",
    "top_k": "it draws from all codes, and at low temperatures from the likely ones: ",
    "top_p": "it draws from all codes, and at low temperatures from the likely ones: ",
}
_CANVAS = "its images have the size that the prior was trained on; choose priors=gpt and sampling.generate for others"
_OWN_CONDITIONS = (
    "held-out images are filled under conditions of their own; drop sampling.{}, or draw whole images by "
    "sampling.denoise"
)

# Verb -> key of `sampling` -> what to do instead.
INSTEAD = {
    "sampling.denoise": {
        **_BY_TEMPERATURE,
        "given": "it draws whole images; sampling.inpaint with sampling.inpainting.mask=half completes some",
        "canvas": _CANVAS,
        "canvas_pixels": _CANVAS,
        "cache_megabytes": "it keeps no cache; lower sampling.batch_size for less memory",
    },
    "sampling.inpaint": {
        **_BY_TEMPERATURE,
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


def way_of(architecture: str) -> str:
    """The key of `sampling.denoising` or `sampling.inpainting` that says how a prior draws."""
    return _WAYS.get(architecture, "temperature")


def refuse_unread(verb: str, architecture: str, asked: Tree, usual: Tree) -> None:
    """Raises TwostageError if what is `asked` of `sampling` differs from the `usual` in a key that the verb, or the
    prior's architecture, does not read: it would change nothing.
    """
    block, way = _BLOCK[verb], way_of(architecture)
    keys = [key for key in INSTEAD[verb] if asked[key] != usual[key]]
    ways = [each for each in _TEMPERATURE if each != way and asked[block].get(each) != usual[block].get(each)]
    if (keys or ways) and verb == "sampling.denoise" and way == "temperature":
        raise TwostageError(
            f"priors={architecture} draws token by token; use sampling.generate, or choose priors=sundae or absorbing"
        )
    if keys:
        key, instead = keys[0], INSTEAD[verb][keys[0]]
        said = instead + _TEMPERATURE[way].format(block) if key in _BY_TEMPERATURE else instead
        raise TwostageError(f"{verb} does not read sampling.{key}: {said}")
    if ways:
        raise TwostageError(
            f"priors={architecture} does not read sampling.{block}.{ways[0]}; set sampling.{block}.{way}"
        )
