"""Typed dataclasses of what `conf/` holds, and their composition: the only module that imports hydra.

`conf/` holds the values, these classes hold the names and the types. A job never sees the whole tree: it gets its own
slice (`DataConfig`, `TokenizerConfig`, ...) as resolved JSON, read back by `parse`. A verb that only plans ask for has
its class beside it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import hydra
import omegaconf
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import MISSING, OmegaConf

from twostage.artifacts import sha256_file, sha256_json
from twostage.config_errors import UNREADABLE, explained, first_line
from twostage.errors import TwostageError
from twostage.trees import files_composed, kept

CONF = Path("conf")

# Orders of image tokens, in the order of Esser et al. 2021, Sec. D; the control is ours.
ORDERINGS = ("row_major", "spiral_out", "z_curve", "subsample", "alternate", "spiral_in", "random")

# Label ids of maps that no dataset brings: torchvision's DeepLab v3; a COCO pose (background, 17 keypoints, limbs).
VOC_LABELS, POSE_LABELS = 21, 19


@dataclass
class WeightsConfig:
    """One pretrained network that other stages use as it is."""

    name: str = MISSING  # vgg16 | alexnet | inception


@dataclass
class DataConfig:
    """One dataset: where it comes from, which classes, which maps are made beside the images."""

    name: str = MISSING
    source: str = MISSING  # cifar10 | fashion_mnist | folder
    size: int = MISSING  # side of the square images, pixels
    classes: list[str] = field(default_factory=list)  # class names to keep; empty: all
    maps: list[str] = field(default_factory=list)  # edges | segmentation | depth | pose
    num_labels: int | None = None  # labels of the segmentation map, including background
    tune_images: int = MISSING  # held out of the training split, for learning-rate sweeps
    validation_images: int | None = None  # source=folder: held out of the images; other sources have a test split
    root: str | None = None  # source=folder: the user's directory
    index: str | None = None  # source=folder: a text file in root: the images to use, one a line; null: all there are
    validation_index: str | None = None  # source=folder: a text file in root: those held out; null: a seeded draw
    class_ranges: list[list[int]] = field(default_factory=list)  # source=folder: [first, last] positions of the class
    # sub-folders that are used, counted from 0 in the order of their names; empty, or a folder of just these: all
    label_offset: int = 0  # added to every id of a segmentation map, modulo 256
    canny_sigma: float = MISSING  # Gaussian width of the edge detector, pixels


@dataclass
class QuantizerConfig:
    """The codebook and how it learns."""

    num_codes: int = MISSING  # |Z|
    code_dim: int = MISSING  # n_z
    beta: float = MISSING  # Eq. 4
    beta_on: str = MISSING  # commitment (paper, Eq. 4) | codebook (released code)
    learned_by: str = MISSING  # gradient (paper, Eq. 4) | ema
    ema_decay: float = MISSING
    init: str = MISSING  # data | uniform (released code: U(-1/K, 1/K))
    revive_after: int | None = MISSING  # steps without use before a code is moved onto data; null: never


@dataclass
class TokenizerLossConfig:
    """The objective of stage 1 (Esser et al. 2021, Eq. 4 to 7)."""

    reconstruction: str = MISSING  # l1 | l2 | cross_entropy | binary_cross_entropy
    perceptual: str = MISSING  # vgg | alex | none
    early_perceptual: str = MISSING  # vgg | alex | none: takes its place in the first steps
    early_perceptual_steps: int = MISSING
    perceptual_weight: float = MISSING
    adversarial: str = MISSING  # hinge | log | none
    adversarial_weight: float = MISSING  # multiplies the adaptive weight
    adversarial_start: int = MISSING  # warm-up: lambda is 0 and the discriminator rests before this step
    adaptive_delta: float = MISSING  # Eq. 7
    adaptive_max: float | None = MISSING  # bound of the adaptive weight; null: none (Eq. 7)
    discriminator_channels: int = MISSING
    discriminator_layers: int = MISSING


@dataclass
class LoopConfig:
    """Budget and rhythm of one training run; counts are optimiser steps."""

    steps: int = MISSING
    batch_size: int = MISSING
    evaluate_every: int = MISSING
    checkpoint_every: int = MISSING
    seed: int = MISSING
    precision: str = MISSING  # float32 | bfloat16 (autocast)


@dataclass
class KMeansConfig:
    """A palette of colours that stand for pixels, f = 1: found by k-means, not trained."""

    num_codes: int = MISSING  # colours of the palette
    pixels: int = MISSING  # of the training split, drawn at random: what the palette is found on
    batch_size: int = MISSING  # pixels of one mini-batch
    epochs: int = MISSING  # passes over the pixels, at most
    seed: int = MISSING


@dataclass
class TokenizerConfig:
    """A stage-1 model: f = 2^m, m the number of down- and upsampling steps.

    With `kmeans` or `greys`, a palette: of the other keys it reads name, map and num_downsamplings (0) alone.
    """

    name: str = MISSING
    map: str = MISSING  # what it tokenizes: image | edges | segmentation | depth | low_resolution | pose
    layout: str = MISSING  # paper (Table 6) | released
    num_downsamplings: int = MISSING  # m
    channels: int = MISSING  # C'
    channel_multipliers: list[int] = MISSING  # one per level; paper: m levels, released: m + 1
    num_res_blocks: int = MISSING  # per level
    attention_levels: list[int] = MISSING  # released layout: levels whose blocks carry attention too
    z_channels: int = MISSING  # width of the encoder's output before the 1x1 projection to code_dim
    dropout: float = MISSING
    quantizer: QuantizerConfig = field(default_factory=QuantizerConfig)
    loss: TokenizerLossConfig = field(default_factory=TokenizerLossConfig)
    learning_rate: float = MISSING
    decay_from: int | None = MISSING  # step from which the rate falls along a cosine to zero; null: never
    warmup_steps: int = MISSING  # linear
    betas: list[float] = MISSING
    loop: LoopConfig = field(default_factory=LoopConfig)
    kmeans: KMeansConfig | None = None  # null: networks
    greys: bool = False  # the codes are the 256 grey levels


@dataclass
class LatentsConfig:
    """Index grids of one map of one dataset under one tokenizer."""

    map: str = MISSING  # image | edges | segmentation | depth
    flips: bool = MISSING  # horizontal flips of the training split
    train_images: int | None = MISSING  # null: all
    validation_images: int | None = MISSING  # null: all
    batch_size: int = MISSING


@dataclass
class GPTConfig:
    """GPT-2 architecture."""

    width: int = MISSING
    num_layers: int = MISSING
    num_heads: int = MISSING
    dropout: float = MISSING
    shared_condition_codes: bool = False  # one table for codes of images and conditions: equal indices collide


@dataclass
class PixelSNAILConfig:
    """PixelSNAIL (Chen et al. 2018), softmax over codes."""

    width: int = MISSING
    num_blocks: int = MISSING
    res_blocks_per_block: int = MISSING
    kernel_size: int = MISSING
    attention_key_width: int = MISSING
    attention_value_width: int = MISSING
    num_heads: int = MISSING
    condition_width: int = MISSING  # of the planes that a spatial condition becomes
    dropout: float = MISSING


@dataclass
class SundaeConfig:
    """A step-unrolled denoising autoencoder whose network is an hourglass transformer."""

    width: int = MISSING
    num_heads: int = MISSING
    head_width: int = MISSING
    depth: list[int] = MISSING  # layers before, within and after the shortened part
    shorten_factor: int = MISSING  # tokens that become one: a square number
    resampling: str = MISSING  # patches | sequence | released: which tokens become one, see priors.hourglass
    rotary: str = MISSING  # axial | sequence | released: which angles positions are, see priors.rotary
    dropout: float = MISSING
    unrolls: int = MISSING  # steps of the chain in one training step


@dataclass
class SweepConfig:
    """The learning-rate sweep on the tune split."""

    learning_rates: list[float] = MISSING
    steps: int = MISSING


@dataclass
class PriorConfig:
    """A stage-2 model and how it trains."""

    architecture: str = MISSING  # gpt | pixelsnail | sundae
    gpt: GPTConfig | None = None
    pixelsnail: PixelSNAILConfig | None = None
    sundae: SundaeConfig | None = None
    learning_rate: float | None = None  # null: the winner of the sweep
    warmup_steps: int = MISSING  # linear
    betas: list[float] = MISSING
    weight_decay: float = MISSING  # on matrices only
    gradient_clip: float = MISSING  # global norm
    sweep: SweepConfig | None = None  # null where the rate is known
    loop: LoopConfig = field(default_factory=LoopConfig)
    ordering: str = "row_major"  # one of ORDERINGS; of image tokens, never of a condition's
    early_stopping: int | None = None  # evaluations without a better one after which training ends; null: never
    condition: str | None = None  # class | coordinates | the tokenizer of a map; null: unconditional


@dataclass
class FeaturesConfig:
    """Inception features of the real images that generated ones are compared with."""

    split: str = MISSING  # train | tune | validation
    images: int | None = MISSING  # the split's first so many; null: all
    batch_size: int = MISSING


@dataclass
class SamplesConfig:
    """How a set of samples is compared with real images."""

    images: int = MISSING  # the set's first so many
    batch_size: int = MISSING
    kid_subsets: int = MISSING
    kid_subset_size: int = MISSING
    precision_neighbours: int = MISSING  # k of precision and recall
    coverage_neighbours: int = MISSING  # k of density and coverage
    inception_score_splits: int = MISSING
    infinity_parts: int = MISSING  # FID-infinity: parts that the samples are divided into, at most
    seed: int = MISSING  # of the subsets of KID and FID-infinity and the splits of Inception Score


@dataclass
class ClassifierConfig:
    """An independent classifier of a dataset's images: judges samples, and rejects them."""

    network: str = MISSING  # small (trained on the training split) | resnet50 (torchvision's, of ImageNet)
    width: int = MISSING  # network=small: channels at full resolution
    learning_rate: float = MISSING  # network=small: the highest, along a cosine to zero
    weight_decay: float = MISSING
    loop: LoopConfig = field(default_factory=LoopConfig)


@dataclass
class ChainConfig:
    """How SUNDAE's chain runs; what has a start and an end changes linearly from step to step."""

    steps: int = MISSING
    min_steps: int = MISSING  # a sample freezes no earlier; as many as `steps`: none ever does
    temperature_start: float = MISSING
    temperature_end: float = MISSING
    proportion_start: float = MISSING  # share of the tokens that a step draws anew
    proportion_end: float = MISSING


@dataclass(kw_only=True)
class DrawingConfig:
    """How many images are drawn, and under which conditions: the same for every kind of prior, but for inpainting."""

    num_images: int = MISSING
    batch_size: int = MISSING
    grid_images: int = MISSING  # shown in grid.png
    seed: int = MISSING
    coordinates: bool = False  # the prior's condition is where a token lies on the canvas
    condition_file: str | None = None  # a picture of the user's that conditions all canvases, such as a label map
    condition_label_offset: int = 0  # added to the ids of a label map, as data.label_offset was in training
    per_condition: int = 1  # samples in a row of one condition; autoregressive: of one beginning too
    classes: list[str] | None = None  # class names, taken in turn; []: all; null: those of the validation images


@dataclass(kw_only=True)
class DenoisingConfig(DrawingConfig):
    """Images out of a SUNDAE prior and a tokenizer."""

    chain: ChainConfig = field(default_factory=ChainConfig)
    film_images: int = MISSING  # the first so many, whose chains are shown
    film_frames: int = MISSING  # states of a chain that are shown, the first and the last among them


@dataclass
class InpaintingConfig:
    """Held-out images of which a SUNDAE prior draws a part anew."""

    num_images: int = MISSING
    results: int = MISSING  # for every image
    batch_size: int = MISSING
    chain: ChainConfig = field(default_factory=ChainConfig)
    mask: str = MISSING  # block | random | half | outpainting | file
    mask_share: float = MISSING  # of the pixels, for block, random and outpainting
    mask_file: str | None = MISSING  # for mask=file: a picture of the images' size, white where they are drawn anew
    rule: str = MISSING  # which codes are drawn anew: all_pixels (paper) or any_pixel (released code) in the mask
    seed: int = MISSING


@dataclass(kw_only=True)
class SamplingConfig(DrawingConfig):
    """Images out of a prior and a tokenizer: autoregressive priors, and the two ways of SUNDAE priors."""

    temperature: float = MISSING
    top_k: int | None = MISSING  # draw from the k likeliest codes; null: from all
    top_p: float | None = MISSING  # draw from the likeliest codes that make up p; null: from all
    given: float = MISSING  # share of every image's tokens, the first ones, that is taken from a real image
    canvas: list[int] | None = MISSING  # rows and columns, tokens; null: the prior's own grid
    canvas_pixels: list[int] | None = None  # canvas as height and width in pixels, of which f divides both
    cache_megabytes: int = 2000  # of keys and values that windows keep; what does not fit is computed again
    denoising: DenoisingConfig | None = None
    inpainting: InpaintingConfig | None = None


@dataclass
class EvaluationConfig:
    """What is measured of finished models."""

    reconstruction_images: int = MISSING
    grid_images: int = MISSING  # shown in the reconstruction figure
    batch_size: int = MISSING
    features: FeaturesConfig | None = None
    rfid_images: int | None = None  # the first so many of those that have features; null: all
    samples: SamplesConfig | None = None
    classifier: ClassifierConfig | None = None


@dataclass
class FiguresConfig:
    """How figures look; no number in a figure depends on this."""

    style: str = MISSING  # a tueplots bundle
    palette: dict[str, str] = MISSING
    png_dpi: int = MISSING


@dataclass
class Config:
    """The whole tree, as `conf/config.yaml` lists it."""

    data: DataConfig = field(default_factory=DataConfig)
    tokenizers: TokenizerConfig = field(default_factory=TokenizerConfig)
    latents: LatentsConfig = field(default_factory=LatentsConfig)
    priors: PriorConfig = field(default_factory=PriorConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    figures: FiguresConfig = field(default_factory=FiguresConfig)
    scale: Any = MISSING  # sizes and budgets that the groups above refer to
    experiment: Any = MISSING  # rows of one table or figure of the papers


T = TypeVar("T")


def parse(kind: type[T], values: dict[str, Any]) -> T:
    """`values` as an instance of the dataclass `kind`.

    Raises TwostageError if a key is unknown or missing, or a value has the wrong type.
    """
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), values))  # type: ignore[return-value]
    except UNREADABLE as error:
        raise TwostageError(f"{kind.__name__}: {first_line(error)}") from error


def compose(overrides: tuple[str, ...] = ()) -> dict[str, Any]:
    """The resolved config tree of `conf/config.yaml` under Hydra overrides, as plain dicts.

    Kept in build/trees under what it depends on: Hydra takes a fifth of a second for one, and a plan needs ninety.
    Raises TwostageError, one line, for an unknown group option or key or a value of the wrong type.
    """
    if not CONF.is_dir():
        raise TwostageError(f"no folder {CONF}/ in {Path.cwd().name}/; run from the root of the twostage clone")
    read = {path.relative_to(CONF).as_posix(): sha256_file(path) for path in files_composed(CONF, overrides)}
    depends_on = [overrides, read, sha256_file(Path(__file__)), hydra.__version__, omegaconf.__version__]
    path = CONF.parent / "build/trees" / f"{sha256_json(depends_on)}.json"
    return kept(path, lambda: _composed(overrides))


def _composed(overrides: tuple[str, ...]) -> Any:
    ConfigStore.instance().store(name="schema", node=Config)
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
            config = hydra_compose("config", overrides=list(overrides))
        OmegaConf.resolve(config)
    except (HydraException, *UNREADABLE) as error:
        raise TwostageError(explained(error, overrides)) from error
    return OmegaConf.to_container(config, resolve=True)
