# Reconstruction quality of tokenizers.


rule evaluation_reconstruct:
    input:
        unpack(job_inputs("evaluation.reconstruct")),
    output:
        job_outputs("evaluation.reconstruct"),
    log:
        beside("evaluation", "log.txt"),
    benchmark:
        beside("evaluation", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("evaluation.reconstruct"),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.evaluation.reconstruct --config {input.config} --log {log}"


# Rows of Table 1 out of the priors' learning curves.


rule evaluation_compare:
    input:
        unpack(job_inputs("evaluation.compare")),
    output:
        job_outputs("evaluation.compare"),
    log:
        beside("evaluation", "log.txt"),
    benchmark:
        beside("evaluation", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("evaluation.compare"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.evaluation.compare --config {input.config} --log {log}"


# The ordering ablation out of the priors' learning curves.


rule evaluation_orderings:
    input:
        unpack(job_inputs("evaluation.orderings")),
    output:
        job_outputs("evaluation.orderings"),
    log:
        beside("evaluation", "log.txt"),
    benchmark:
        beside("evaluation", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("evaluation.orderings"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.evaluation.orderings --config {input.config} --log {log}"


# Features of real images by FID's Inception, shared by every comparison with them.


rule evaluation_features:
    input:
        unpack(job_inputs("evaluation.features")),
    output:
        job_outputs("evaluation.features"),
    log:
        beside("evaluation", "log.txt"),
    benchmark:
        beside("evaluation", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("evaluation.features"),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.evaluation.features --config {input.config} --log {log}"


# FID and its kin of sets of samples.


rule evaluation_samples:
    input:
        unpack(job_inputs("evaluation.samples")),
    output:
        job_outputs("evaluation.samples"),
    log:
        beside("evaluation", "log.txt"),
    benchmark:
        beside("evaluation", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("evaluation.samples"),
    threads: 1
    resources:
        mem_mb=6000,
        runtime=240,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.evaluation.samples --config {input.config} --log {log}"


# FID of reconstructions.


rule evaluation_rfid:
    input:
        unpack(job_inputs("evaluation.rfid")),
    output:
        job_outputs("evaluation.rfid"),
    log:
        beside("evaluation", "log.txt"),
    benchmark:
        beside("evaluation", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("evaluation.rfid"),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.evaluation.rfid --config {input.config} --log {log}"


# Tokenizers side by side, out of what was measured of each.


rule evaluation_tokenizer_ablation:
    input:
        unpack(job_inputs("evaluation.tokenizer_ablation")),
    output:
        job_outputs("evaluation.tokenizer_ablation"),
    log:
        beside("evaluation", "log.txt"),
    benchmark:
        beside("evaluation", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("evaluation.tokenizer_ablation"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.evaluation.tokenizer_ablation --config {input.config} --log {log}"


# NLL of whole images, by sliding window.


rule evaluation_likelihood:
    input:
        unpack(job_inputs("evaluation.likelihood")),
    output:
        job_outputs("evaluation.likelihood"),
    log:
        beside("evaluation", "log.txt"),
    benchmark:
        beside("evaluation", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("evaluation.likelihood"),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=720,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.evaluation.likelihood --config {input.config} --log {log}"


# One transformer on pixels and on latents, for equal training time.


rule evaluation_pixels_vs_latents:
    input:
        unpack(job_inputs("evaluation.pixels_vs_latents")),
    output:
        job_outputs("evaluation.pixels_vs_latents"),
    log:
        beside("evaluation", "log.txt"),
    benchmark:
        beside("evaluation", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("evaluation.pixels_vs_latents"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.evaluation.pixels_vs_latents --config {input.config} --log {log}"


# Reconstructions, likelihood, samples and speed over the factor f.


rule evaluation_f_sweep:
    input:
        unpack(job_inputs("evaluation.f_sweep")),
    output:
        job_outputs("evaluation.f_sweep"),
    log:
        beside("evaluation", "log.txt"),
    benchmark:
        beside("evaluation", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("evaluation.f_sweep"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.evaluation.f_sweep --config {input.config} --log {log}"


# An independent classifier, which judges samples and rejects them.


rule evaluation_classifier:
    input:
        unpack(job_inputs("evaluation.classifier")),
    output:
        job_outputs("evaluation.classifier"),
    log:
        beside("evaluation", "log.txt"),
    benchmark:
        beside("evaluation", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("evaluation.classifier"),
    threads: 1
    resources:
        mem_mb=3000,
        runtime=720,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.evaluation.classifier --config {input.config} --log {log}"


# Samples of one task beside their conditions.


rule evaluation_conditional:
    input:
        unpack(job_inputs("evaluation.conditional")),
    output:
        job_outputs("evaluation.conditional"),
    log:
        beside("evaluation", "log.txt"),
    benchmark:
        beside("evaluation", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("evaluation.conditional"),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.evaluation.conditional --config {input.config} --log {log}"


# Class-conditional samples under several settings and under rejection.


rule evaluation_rejection:
    input:
        unpack(job_inputs("evaluation.rejection")),
    output:
        job_outputs("evaluation.rejection"),
    log:
        beside("evaluation", "log.txt"),
    benchmark:
        beside("evaluation", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("evaluation.rejection"),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=720,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.evaluation.rejection --config {input.config} --log {log}"


# A prior on few images, and what its samples copy.


rule evaluation_overfitting:
    input:
        unpack(job_inputs("evaluation.overfitting")),
    output:
        job_outputs("evaluation.overfitting"),
    log:
        beside("evaluation", "log.txt"),
    benchmark:
        beside("evaluation", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("evaluation.overfitting"),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=720,
        gpu=GPUS_PER_JOB,
    shell:
        "python -m twostage.evaluation.overfitting --config {input.config} --log {log}"


# Sets of samples side by side: SUNDAE against transformers, and its chain's settings.


rule evaluation_sample_sets:
    input:
        unpack(job_inputs("evaluation.sample_sets")),
    output:
        job_outputs("evaluation.sample_sets"),
    log:
        beside("evaluation", "log.txt"),
    benchmark:
        beside("evaluation", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("evaluation.sample_sets"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.evaluation.sample_sets --config {input.config} --log {log}"


# Choices of the hourglass, paired by seed.


rule evaluation_hourglass:
    input:
        unpack(job_inputs("evaluation.hourglass")),
    output:
        job_outputs("evaluation.hourglass"),
    log:
        beside("evaluation", "log.txt"),
    benchmark:
        beside("evaluation", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("evaluation.hourglass"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.evaluation.hourglass --config {input.config} --log {log}"


# Inpainted images against their originals and each other.


rule evaluation_sundae_inpainting:
    input:
        unpack(job_inputs("evaluation.sundae_inpainting")),
    output:
        job_outputs("evaluation.sundae_inpainting"),
    log:
        beside("evaluation", "log.txt"),
    benchmark:
        beside("evaluation", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("evaluation.sundae_inpainting"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m twostage.evaluation.sundae_inpainting --config {input.config} --log {log}"


# Class-conditional pixels against the means of their classes.


rule evaluation_sundae_pixels:
    input:
        unpack(job_inputs("evaluation.sundae_pixels")),
    output:
        job_outputs("evaluation.sundae_pixels"),
    log:
        beside("evaluation", "log.txt"),
    benchmark:
        beside("evaluation", "benchmark.tsv")
    wildcard_constraints:
        variant=variants("evaluation.sundae_pixels"),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
        gpu=0,
    shell:
        "python -m twostage.evaluation.sundae_pixels --config {input.config} --log {log}"
