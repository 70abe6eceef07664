"""Typed dataclasses of the config.

`conf/` holds the values; these classes hold the names and types. A job never sees the whole tree. It gets its own
slice (`DataConfig`, `TokenizerConfig`, ...) as resolved JSON, which `parse` reads. The config class of a verb that
only plans use is defined in the verb's module.
"""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from twostage.config.values import above, at_least, between, brought, folder_name, one_of, option, share, some_of

# Orders of image tokens, listed as in Esser et al. 2021, Sec. D. The last one is our control.
ORDERINGS = ("row_major", "spiral_out", "z_curve", "subsample", "alternate", "spiral_in", "random")

# Splits: for training, for learning-rate sweeps, for reported numbers.
SPLITS = ("train", "tune", "validation")

# Priors that draw whole grids at once. All others draw token by token.
DENOISERS = ("sundae", "absorbing")

# Maps that a dataset may contain; what else tokenizers may read; codes that need no tokenizer.
MAPS = ("edges", "segmentation", "depth", "pose")
TOKENIZED = ("image", *MAPS, "low_resolution")

# Numbers of labels of maps that we make: torchvision's DeepLab v3; a COCO pose (background, 17 keypoints, limbs).
VOC_LABELS = 21
POSE_LABELS = 19

# Codes of a tokenizer whose codes are grey levels.
NUM_GREYS = 256


@dataclass
class WeightsConfig:
    """One pretrained network, used unchanged."""

    name: str = one_of("vgg16", "alexnet", "inception")


@dataclass
class DataConfig:
    """One dataset: its source, its classes and the maps that belong to its images."""

    name: str = folder_name()
    source: str = one_of("cifar10", "fashion_mnist", "folder")
    size: int = at_least(1)  # side of the square images, pixels
    classes: list[str] = field(default_factory=list)  # class names to keep; empty: all
    maps: list[str] = some_of(*MAPS)  # edges | segmentation | depth | pose
    num_labels: int | None = at_least(1, default=None)  # labels of the segmentation map, including background
    tune_images: int = at_least(1)  # held out of the training split, for learning-rate sweeps
    # source=folder: held out of the images; other sources have a test split
    validation_images: int | None = at_least(1, default=None)
    root: str | None = brought()  # source=folder: the user's directory
    index: str | None = brought()  # source=folder: a text file in root with the images to use, one per line; null: all
    validation_index: str | None = (
        brought()  # source=folder: a text file in root with the held-out images; null: a seeded draw
    )
    class_ranges: list[list[int]] = field(default_factory=list)  # source=folder: [first, last] positions of the class
    # sub-folders to use, counted from 0 in the order of names; all if empty or if root has just these
    label_offset: int = between(-255, 255, default=0)  # added to every id of a segmentation map, modulo 256
    canny_sigma: float = between(0.01, 1000)  # Gaussian width of the edge detector, pixels


@dataclass
class QuantizerConfig:
    """The codebook and how it learns."""

    num_codes: int = at_least(1)  # |Z|
    code_dim: int = at_least(1)  # n_z
    beta: float = at_least(0)  # Eq. 4
    beta_on: str = one_of("commitment", "codebook")  # commitment (paper, Eq. 4) | codebook (released code)
    learned_by: str = one_of("gradient", "ema")  # gradient (paper, Eq. 4) | ema
    ema_decay: float = share()
    init: str = one_of("data", "uniform")  # data | uniform (released code: U(-1/K, 1/K))
    revive_after: int | None = at_least(1)  # steps without use before a code is moved onto data; null: never


@dataclass
class TokenizerLossConfig:
    """The objective of stage 1 (Esser et al. 2021, Eq. 4 to 7)."""

    reconstruction: str = one_of("l1", "l2", "cross_entropy", "binary_cross_entropy")
    perceptual: str = one_of("vgg", "alex", "none")
    early_perceptual: str = one_of("vgg", "alex", "none")  # replaces it in the first steps
    early_perceptual_steps: int = at_least(0)
    perceptual_weight: float = at_least(0)
    adversarial: str = one_of("hinge", "log", "non_saturating", "none")
    adversarial_weight: float = at_least(0)  # multiplies the adaptive weight
    adversarial_start: int = at_least(0)  # warm-up: before this step, lambda is 0
    adaptive: bool = False  # Eq. 7; false: the adaptive weight is 1
    adaptive_delta: float = at_least(0)  # Eq. 7
    adaptive_max: float | None = at_least(0)  # bound of the adaptive weight; null: none (Eq. 7)


@dataclass
class DiscriminatorConfig:
    """The patch discriminator, how it learns, and what keeps small ones stable."""

    channels: int = at_least(1)
    layers: int = at_least(1)  # with stride 2; each doubles what a patch sees
    learning_rate: float = at_least(0)  # on the tokenizer's schedule
    betas: list[float] = share()
    steps_ahead: int = at_least(0)  # it learns from so many steps before adversarial_start on
    augment: bool = False  # what it sees is augmented alike (Zhao et al. 2020)
    lecam: float = at_least(0)  # weight of the regularizer of Tseng et al. 2021; 0: none


@dataclass
class LoopConfig:
    """Budget and intervals of one training run, counted in optimizer steps."""

    steps: int = at_least(1)
    batch_size: int = at_least(1)
    evaluate_every: int = at_least(1)
    checkpoint_every: int = at_least(1)
    seed: int = at_least(0)
    precision: str = one_of("float32", "bfloat16")  # float32 | bfloat16 (autocast)
    # The batch of a process is cut into so many parts, whose gradients are added up: less memory, the same step.
    accumulate: int = option(at_least(1, default=1))
    pin_memory: bool = option(field(default=False))  # to CUDA from page-locked memory, while the card computes
    # The next three are of priors. fsdp: each process keeps a part of weights, gradients and optimizer state
    sharding: str = option(one_of("none", "fsdp", default="none"))
    checkpoint_activations: bool = option(field(default=False))  # backward computes what is within a block again
    compile: bool = option(field(default=False))  # by torch.compile


@dataclass
class KMeansConfig:
    """A palette of colours as the codes of pixels, f = 1. Found by k-means, not trained."""

    num_codes: int = at_least(1)  # colours of the palette
    pixels: int = at_least(1)  # drawn at random from the training split, to find the palette
    batch_size: int = at_least(1)  # pixels of one mini-batch
    epochs: int = at_least(1)  # most passes over the pixels
    seed: int = at_least(0)


@dataclass
class TokenizerConfig:
    """A stage-1 model with f = 2^m, where m is the number of down- and upsampling steps.

    With `kmeans` or `greys` it is a palette, which reads only name, map and num_downsamplings (0) of the other keys.
    """

    name: str = folder_name()
    # A tokenizer of conf/tokenizers/ of the same networks, trained on the same data: this one starts with its weights
    # and codebook, but with new optimizers; null: from new weights.
    starts_from: str | None = option(folder_name(default=None))
    map: str = one_of(*TOKENIZED)  # what it tokenizes: image | edges | segmentation | depth | low_resolution | pose
    layout: str = one_of("paper", "released")  # paper (Table 6) | released
    num_downsamplings: int = at_least(0)  # m
    channels: int = at_least(1)  # C'
    channel_multipliers: list[int] = at_least(1)  # one per level; paper: m levels, released: m + 1
    num_res_blocks: int = at_least(0)  # per level
    attention_levels: list[int] = at_least(0)  # released layout: levels that also have attention blocks
    middle: bool = option(field(default=True))  # blocks, one non-local, between the levels and the codes
    z_channels: int = at_least(1)  # width of the encoder's output before the 1x1 projection to code_dim
    dropout: float = share()
    quantizer: QuantizerConfig = field(default_factory=QuantizerConfig)
    loss: TokenizerLossConfig = field(default_factory=TokenizerLossConfig)
    discriminator: DiscriminatorConfig | None = None  # null: there is none, and loss.adversarial is none
    learning_rate: float = at_least(0)
    decay_from: int | None = at_least(0)  # step from which the rate falls along a cosine to zero; null: never
    # Of the tokenizer from adversarial_start on: what its rate falls to before, and to zero from; null: it goes on.
    adversarial_learning_rate: float | None = at_least(0)
    warmup_steps: int = at_least(0)  # linear
    betas: list[float] = share()
    loop: LoopConfig = field(default_factory=LoopConfig)
    kmeans: KMeansConfig | None = None  # null: networks
    greys: bool = False  # the codes are the 256 grey levels


@dataclass
class LatentsConfig:
    """Index grids of one map of one dataset under one tokenizer."""

    map: str = MISSING  # image | edges | segmentation | depth
    flips: bool = MISSING  # horizontal flips of the training split
    train_images: int | None = at_least(1)  # null: all
    validation_images: int | None = at_least(1)  # null: all
    batch_size: int = at_least(1)


@dataclass
class TransformerConfig:
    """The blocks of GPT-2."""

    width: int = at_least(1)
    num_layers: int = at_least(1)
    num_heads: int = at_least(1)
    dropout: float = share()


@dataclass
class GPTConfig(TransformerConfig):
    """GPT-2 architecture."""

    shared_condition_codes: bool = (
        False  # one embedding table for codes of images and conditions, so equal indices collide
    )


@dataclass
class PixelSNAILConfig:
    """PixelSNAIL (Chen et al. 2018), softmax over codes."""

    width: int = at_least(1)
    num_blocks: int = at_least(1)
    res_blocks_per_block: int = at_least(1)
    kernel_size: int = at_least(1)
    attention_key_width: int = at_least(1)
    attention_value_width: int = at_least(1)
    num_heads: int = at_least(1)
    condition_width: int = at_least(1)  # channels of a spatial condition
    dropout: float = share()
    gated_attention: bool = option(
        field(default=False)
    )  # a gated 1x1 block before keys and values, and one before queries


@dataclass
class HourglassConfig:
    """A transformer whose middle layers work on groups of tokens."""

    width: int = at_least(1)
    num_heads: int = at_least(1)
    head_width: int = at_least(1)
    depth: list[int] = at_least(0)  # layers before, in and after the shortened part
    shorten_factor: int = at_least(1)  # number of tokens that are merged into one: a square number
    resampling: str = one_of("patches", "sequence", "released")  # which tokens are merged, see priors.hourglass
    rotary: str = one_of("axial", "raster", "sequence", "released")  # how positions become angles, see priors.rotary
    dropout: float = share()


@dataclass
class SundaeConfig(HourglassConfig):
    """A step-unrolled denoising autoencoder (SUNDAE) with an hourglass transformer."""

    unrolls: int = at_least(1)  # steps of the chain in one training step


@dataclass
class AbsorbingConfig:
    """Absorbing-state diffusion: one of two networks predicts masked tokens from the unmasked ones."""

    network: str = one_of("transformer", "hourglass")
    transformer: TransformerConfig | None = None  # network=transformer: without a causal mask
    hourglass: HourglassConfig | None = None  # network=hourglass
    num_steps: int | None = at_least(1)  # T in training and in the bound; null: the number of tokens
    loss: str = one_of("reweighted", "elbo")  # weights of the steps, see priors.absorbing


@dataclass
class SweepConfig:
    """The learning-rate sweep on the tune split."""

    learning_rates: list[float] = above(0)
    steps: int = at_least(1)


@dataclass
class PriorConfig:
    """A stage-2 model and how it trains."""

    architecture: str = one_of("gpt", "pixelsnail", "sundae", "absorbing")
    gpt: GPTConfig | None = None
    pixelsnail: PixelSNAILConfig | None = None
    sundae: SundaeConfig | None = None
    absorbing: AbsorbingConfig | None = None
    learning_rate: float | None = above(0, default=None)  # null: the winner of the sweep
    warmup_steps: int = at_least(0)  # linear
    betas: list[float] = share()
    weight_decay: float = at_least(0)  # on matrices only
    gradient_clip: float = above(0)  # global norm
    # decay of the moving average of the weights; null: the last weights
    averaging: float | None = option(share(default=None))
    sweep: SweepConfig | None = None  # null where the rate is known
    loop: LoopConfig = field(default_factory=LoopConfig)
    ordering: str = one_of(
        *ORDERINGS, default="row_major"
    )  # one of ORDERINGS; only for image tokens, not for a condition's
    # stop after this many evaluations without improvement; null: never
    early_stopping: int | None = at_least(1, default=None)
    condition: str | None = folder_name(
        default=None
    )  # class | coordinates | the tokenizer of a map; null: unconditional
    own: dict[str, Any] = field(default_factory=dict)  # sizes of an architecture that a plugin adds


@dataclass
class FeaturesConfig:
    """Inception features of real images, to compare generated images with."""

    split: str = one_of("train", "tune", "validation")
    images: int | None = at_least(1)  # the first images of the split; null: all
    batch_size: int = at_least(1)


@dataclass
class ReconstructionsConfig(FeaturesConfig):
    """How reconstructions are compared with their originals: features as of these, and KID's subsets."""

    kid_subsets: int = at_least(1)
    kid_subset_size: int = at_least(1)  # all images, where there are fewer
    seed: int = at_least(0)  # for the subsets


@dataclass
class SamplesConfig:
    """How a set of samples is compared with real images."""

    images: int = at_least(1)  # the first images of the set
    batch_size: int = at_least(1)
    kid_subsets: int = at_least(1)
    kid_subset_size: int = at_least(1)
    precision_neighbours: int = at_least(1)  # k of precision and recall
    coverage_neighbours: int = at_least(1)  # k of density and coverage
    inception_score_splits: int = at_least(1)
    infinity_parts: int = at_least(1)  # FID-infinity: most parts that the samples are divided into
    seed: int = at_least(0)  # for the subsets of KID and FID-infinity and the splits of Inception Score


@dataclass
class ClassifierConfig:
    """An independent classifier of a dataset's images, to evaluate and reject samples."""

    # small (trained on the training split) | resnet50 (torchvision's, of ImageNet)
    network: str = one_of("small", "resnet50")
    width: int = at_least(0)  # network=small: channels at full resolution
    learning_rate: float = above(0)  # network=small: the highest rate; it falls along a cosine to zero
    weight_decay: float = at_least(0)
    loop: LoopConfig = field(default_factory=LoopConfig)


@dataclass
class ChainConfig:
    """SUNDAE's sampling chain. Settings with a start and an end change linearly from step to step."""

    steps: int = at_least(1)
    min_steps: int = at_least(1)  # the earliest step at which a sample may freeze; equal to `steps`: never
    temperature_start: float = at_least(0)
    temperature_end: float = at_least(0)
    proportion_start: float = share()  # share of the tokens that a step redraws
    proportion_end: float = share()


@dataclass
class UnmaskingConfig:
    """Sampling from absorbing diffusion, which draws every token once."""

    steps: int | None = at_least(1)  # null: the number of tokens; with fewer steps, several tokens are drawn at once
    temperature: float = above(0)


@dataclass(kw_only=True)
class DrawingConfig:
    """How many images are drawn and under which conditions. The same for all priors; not used for inpainting."""

    num_images: int = at_least(1)
    batch_size: int = at_least(1)
    grid_images: int = at_least(1)  # shown in grid.png
    seed: int = at_least(0)
    coordinates: bool = False  # the prior's condition is where a token lies on the canvas
    condition_file: str | None = brought()  # the user's image, such as a label map, that conditions all canvases
    # added to the ids of a label map, as data.label_offset was in training
    condition_label_offset: int = between(-255, 255, default=0)
    # consecutive samples with the same condition; autoregressive: also with the same beginning
    per_condition: int = at_least(1, default=1)
    classes: list[str] | None = None  # class names, used in turn; []: all; null: classes of the validation images


@dataclass(kw_only=True)
class DenoisingConfig(DrawingConfig):
    """Sampling from a denoiser of whole grids, decoded by a tokenizer."""

    chain: ChainConfig | None = field(default_factory=ChainConfig)  # of SUNDAE priors
    unmasking: UnmaskingConfig | None = None  # of absorbing ones
    film_images: int = at_least(1)  # number of images whose chains are shown
    film_frames: int = at_least(1)  # states of a chain that are shown, including the first and the last


@dataclass
class InpaintingConfig:
    """Inpainting: a prior redraws a part of held-out images."""

    num_images: int = at_least(1)
    results: int = at_least(1)  # for every image
    batch_size: int = at_least(1)
    chain: ChainConfig | None = field(default_factory=ChainConfig)  # of SUNDAE priors
    mask: str = one_of("block", "random", "half", "outpainting", "file")
    mask_share: float = share()  # of the pixels, for block, random and outpainting
    mask_file: str | None = brought(MISSING)  # for mask=file: an image of the same size, white where pixels are redrawn
    # redraw a code if all_pixels (paper) or any_pixel (released code) of it are in the mask
    rule: str = one_of("all_pixels", "any_pixel")
    seed: int = at_least(0)
    unmasking: UnmaskingConfig | None = None  # of absorbing priors
    temperature: float | None = above(0, default=None)  # of priors that draw token by token


@dataclass(kw_only=True)
class SamplingConfig(DrawingConfig):
    """Sampling: from autoregressive priors, denoising with denoisers of whole grids, and inpainting with all."""

    temperature: float = at_least(0)
    top_k: int | None = at_least(1)  # draw from the k likeliest codes; null: from all
    top_p: float | None = share()  # draw from the likeliest codes that make up p; null: from all
    given: float = share()  # share of the first tokens of each image that is taken from a real image
    canvas: list[int] | None = at_least(1)  # rows and columns, tokens; null: the prior's own grid
    # canvas as height and width in pixels, both divisible by f
    canvas_pixels: list[int] | None = at_least(1, default=None)
    # memory for keys and values of windows; what does not fit is recomputed
    cache_megabytes: int = at_least(0, default=2000)
    denoising: DenoisingConfig | None = None
    inpainting: InpaintingConfig | None = None


@dataclass
class EvaluationConfig:
    """What is measured of finished models."""

    reconstruction_images: int = at_least(1)
    grid_images: int = at_least(1)  # shown in the reconstruction figure
    batch_size: int = at_least(1)
    features: FeaturesConfig | None = None
    rfid_images: int | None = at_least(1, default=None)  # the first of the images that have features; null: all
    samples: SamplesConfig | None = None
    samples_split: str = one_of("train", "tune", "validation", default="validation")  # what samples are compared with
    classifier: ClassifierConfig | None = None


@dataclass
class FiguresConfig:
    """How figures look. No number in a figure depends on it."""

    style: str = MISSING  # a tueplots bundle
    palette: dict[str, str] = MISSING
    png_dpi: int = between(1, 2400)
    # points; scales all text. null: 7, as in a conference column
    font_size: float | None = between(1, 72, default=None)


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
    study: Any = MISSING  # rows of one table or figure of the papers
