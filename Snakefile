# Contents: the rules in the order of the stages, then what a reader asks for.
#   snakemake --cores all results/table1.csv                        at the scale of params.yaml
#   snakemake --cores all results/orderings.csv                     the ordering ablation
#   snakemake --cores all results/codebook_size.csv                 or vqgan_vs_vqvae, warmup: tokenizers side by side
#   snakemake --cores all results/pixels_vs_latents.csv             pixels against latents
#   snakemake --cores all results/f_sweep.csv                       the sweep over the factor f; f_sweep_conditional
#   snakemake --cores all results/class_conditional.csv             or edges, super_resolution, layouts, completion, a task of yours
#   snakemake --cores all results/edges_sundae.csv                  edges by SUNDAE
#   snakemake --cores all results/depth.csv                         or pose, layouts_ade20k, layouts_coco_stuff, on your data
#   snakemake --cores all results/rejection.csv                     class-conditional samples under rejection
#   snakemake --cores all results/overfitting.csv                   a prior on few images, and its neighbours
#   snakemake --cores all results/sundae_vs_autoregressive.csv      SUNDAE, the prior of the second paper, against transformers
#   snakemake --cores all results/sundae_steps.csv                  or sundae_proportion, sundae_temperature: its chain
#   snakemake --cores all results/hourglass_resampling.csv          or hourglass_rotary: its network
#   snakemake --cores all results/sundae_inpainting.csv             or sundae_pixels: masks; classes on grey pixels
#   snakemake --cores all results/claims.csv                        what the papers claim, with the verdict of each
#   snakemake --cores all results/index.html                        all of results/ as a page, to open in a browser
#   snakemake --cores all results/models.csv                        the models that they print, with their parameters
#   snakemake --cores all figures                                   every table and figure of the papers
#   snakemake --cores all results/mine.csv --config study=PATH/mine.yaml      a study of yours, wherever it lies
#   snakemake --cores all results/table1.csv --config scale=smoke   smoke | laptop | night | workstation | paper
# Git keeps results/ of one scale, `committed` in params.yaml. At another one results/table1.csv is another name of
# results/<scale>/table1.csv, which git ignores.
import atexit


# Only for --software-deployment-method apptainer. The Dockerfile builds it:
#   docker build -t twostage . && apptainer build build/twostage.sif docker-daemon:twostage:latest
container: "build/twostage.sif"


report: "workflow/report/workflow.rst"


configfile: "params.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/stages.smk"
include: "workflow/rules/results.smk"


localrules:
    all,
    data,
    figures,


TABLES = [f"{RESULTS}/{name}.csv" for name in tables(PLAN.plan)]


rule figures:
    input:
        TABLES,


# After dvc pull, which brings no prepared data: makes those that were.
rule data:
    input:
        lambda wildcards: PLAN.left_behind,


rule all:
    default_target: True
    input:
        TABLES,
        f"{RESULTS}/metrics.json",
        f"{RESULTS}/claims.csv",
        f"{RESULTS}/index.html",


# DVC stores whole stages; one that nothing was asked of is an empty folder and not an error.
onstart:
    own_time.look_at_jobs_when_one_ends(workflow)
    gpu_limit.one_job_at_a_time(workflow, GPUS_PER_JOB)
    PLAN.make_the_folders_that_dvc_stores()
    PLAN.hide_from_git(added_studies())


onsuccess:
    if RESULTS != "results":
        print(f"The results of scale {SCALE} lie in {RESULTS}/.", file=sys.stderr)


# Snakemake has lines of its own to say after this one, so the ends of the logs, with their names, wait for its end.
onerror:
    if lines := [*PLAN.failures(log)]:
        atexit.register(print, *lines, sep="\n", file=sys.stderr)
