# Metric networks: LPIPS backbones and FID's Inception, converted once to safetensors.


rule weights_convert:
    input:
        unpack(job_inputs("weights.convert")),
    output:
        job_outputs("weights.convert"),
    log:
        beside("weights", "log.txt"),
    benchmark:
        beside("weights", "benchmark.tsv")
    threads: 1
    resources:
        mem_mb=3000,
        runtime=30,
        gpu=0,
    shell:
        "python -m twostage.weights.convert --config {input.config} --log {log}"
